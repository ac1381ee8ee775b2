"""Hue of the tissue in a colour clip, and the pixels whose hue differs: coloured graphics, and colour flow.

Tissue is grey, or tinted by a scale in which the hue depends on the brightness alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.images.colour import colour_frame, sample_indices
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.morphology import binary_dilation, open_squares

_DIFFERS = 32
_LEVELS = 16
_STILL_SHARE, _STILL_CHANGE = 0.9, 48
_LEAST_FLOW = 2e-3  # share of the sector that is coloured in some frame: less is noise of the compression


@dataclass(frozen=True)
class TissueHue:
    """The usual differences red - green and blue - green of tissue, by brightness.

    Attributes:
        usual: (2, 16), for brightness in steps of 16.
    """

    usual: np.ndarray

    def differs(self, colour: np.ndarray) -> np.ndarray:
        """Finds the pixels of a frame (H, W, 3) uint8 whose hue is not that of tissue; (H, W) bool."""
        differs = np.zeros(colour.shape[:2], dtype=bool)
        green = colour[..., 1].astype(np.int16)
        strength = np.maximum(np.abs(colour[..., 0] - green), np.abs(colour[..., 2] - green))
        # Pixels that are grey enough differ at no brightness: those of most clips are.
        candidates = strength > _DIFFERS - np.abs(self.usual).max()
        if not candidates.any():
            return differs
        level, differences = _level_and_differences(colour[candidates])
        differs[candidates] = np.max(np.abs(differences - self.usual[:, level]), axis=0) > _DIFFERS
        return open_squares(differs)  # single pixels are compression noise


@dataclass(frozen=True)
class ColouredPixels:
    """The pixels of a clip that are not of the tissue's hue.

    Attributes:
        still: (H, W) bool, coloured in nearly all frames and always the same: drawn by the scanner.
        passing: (H, W) bool, coloured in some frames, or in changing colours: colour flow, or a moving trace.
        hue: of the tissue.
    """

    still: np.ndarray
    passing: np.ndarray
    hue: TissueHue


def coloured_pixels(sequence: ImageSequence, sector: np.ndarray) -> ColouredPixels | None:
    """Finds the pixels that are not of the tissue's hue, from up to 32 frames; None for a grey clip."""
    frames = [colour_frame(sequence, index) for index in sample_indices(len(sequence))]
    colours = [frame for frame in frames if frame is not None]
    if not colours:
        return None
    hue = _tissue_hue(colours, sector)
    count = np.zeros(sector.shape, dtype=np.int32)
    least, most = np.full((*sector.shape, 3), 255, np.uint8), np.zeros((*sector.shape, 3), np.uint8)
    for colour in colours:
        coloured = hue.differs(colour)
        if coloured.any():
            count += coloured
            np.minimum(least, colour, out=least, where=coloured[..., None])
            np.maximum(most, colour, out=most, where=coloured[..., None])
    change = (most.astype(np.int16) - least).max(axis=-1)
    # the blurred rim of a mark passes the limit in some frames only
    core = (count >= _STILL_SHARE * len(colours)) & (change <= _STILL_CHANGE)
    rim = binary_dilation(core, iterations=2)
    still = (count > 0) & (core | rim)
    return ColouredPixels(still, (count > 0) & ~still, hue)


def is_colour_flow(coloured: ColouredPixels, sector: np.ndarray) -> bool:
    """Returns True if enough of the sector is coloured in passing to be colour flow or a trace, not noise."""
    return bool((coloured.passing & sector).sum() > _LEAST_FLOW * sector.sum())


def _level_and_differences(colour: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the brightness (N,) in 16 steps, and red - green and blue - green (2, N) int16, of colours (N, 3)."""
    red, green, blue = np.ascontiguousarray(colour.T)
    level = (np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue).astype(np.intp) >> 4
    return level, np.stack([red, blue]) - green.astype(np.int16)


def _tissue_hue(colours: list[np.ndarray], sector: np.ndarray) -> TissueHue:
    """Returns the hue of most pixels of the sector.

    At some brightness colour flow may be the most usual hue. So a line through all pixels, most of which are tissue,
    decides which pixels are tissue, and their median is the hue at each brightness. Where the line fits less than half
    of the pixels, as in a scale of many colours, the median of all is.
    """
    few = np.zeros_like(sector)
    few[::3, ::3] = sector[::3, ::3]
    samples = [_level_and_differences(colour[few]) for colour in colours]
    level = np.concatenate([one for one, _ in samples])
    differences = np.concatenate([one for _, one in samples], axis=1)
    line = np.stack([_robust_line(_histogram(level, difference)) for difference in differences])
    near = np.max(np.abs(differences - line[:, level]), axis=0) <= _DIFFERS
    if near.mean() < 0.5:
        near[:] = True
    usual = line.copy()
    for own, difference in zip(usual, differences, strict=True):
        counts = _histogram(level[near], difference[near])
        known = counts.sum(axis=1) >= 20
        own[known] = _medians(counts[known])
    return TissueHue(usual)


def _histogram(level: np.ndarray, difference: np.ndarray) -> np.ndarray:
    """Counts (16, 511) the pixels of each brightness and difference, from -255."""
    return np.bincount(level * 511 + (difference + 255), minlength=_LEVELS * 511).reshape(_LEVELS, 511)


def _medians(counts: np.ndarray) -> np.ndarray:
    """Returns the median (K,) of each row of a histogram (K, 511) of differences."""
    reached, total = np.cumsum(counts, axis=1), counts.sum(axis=1)
    places = ((total - 1) // 2, total // 2)
    return np.mean([(reached <= place[:, None]).sum(axis=1) - 255 for place in places], axis=0)


def _robust_line(counts: np.ndarray) -> np.ndarray:
    """Returns the values (16,) of the line through (level, difference) with the least sum of absolute residuals, of
    pixels counted by `_histogram`.
    """
    level, place = np.nonzero(counts)
    count, difference = counts[level, place].astype(np.float64), place - 255.0
    weight = count
    slope = intercept = 0.0
    for _ in range(20):
        mean_x, mean_y = np.average(level, weights=weight), np.average(difference, weights=weight)
        variance = np.average((level - mean_x) ** 2, weights=weight)
        product = np.average((level - mean_x) * (difference - mean_y), weights=weight)
        slope = product / variance if variance > 0 else 0.0
        intercept = mean_y - slope * mean_x
        weight = count / np.maximum(np.abs(difference - intercept - slope * level), 1.0)
    return (intercept + slope * np.arange(_LEVELS)).astype(np.float32)
