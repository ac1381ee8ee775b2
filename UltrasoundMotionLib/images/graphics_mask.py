"""Detection and removal of burned-in scanner graphics: text, rulers, ECG traces, coloured overlays.

Graphics are sharp and do not move with the tissue, so a tracker near a ruler or a trace would follow them instead.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull, cKDTree

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import ColourFrameSource, colour_frame, sample_indices
from UltrasoundMotionLib.images.image_sequence import FrameSource, ImageSequence

_NEIGHBOURS = 24


def sector_mask(sequence: ImageSequence) -> np.ndarray:
    """Finds the insonified area (H, W) bool: the convex hull of the pixels that change, without thin traces.

    From up to 32 frames spread over the clip; a side of the sector that is black in all of them is not included. All
    True for a single frame, or if nothing changes.
    """
    return _sector(_sampled(sequence))


def find_graphics(sequence: ImageSequence) -> np.ndarray:
    """Finds the pixels of burned-in graphics; (H, W) bool.

    Three kinds are detected, from up to 32 frames spread over the clip: pixels whose hue differs from the image's grey
    or tinted scale; thin bright marks inside the sector that do not change while their surroundings do; anything
    outside the sector that differs from the background, still (text, rulers, icons) or moving (ECG and other traces).
    """
    grey = _sampled(sequence)
    sector = _sector(grey)
    graphics = _coloured(sequence, sector) | _still_marks(grey, sector) | _outside(grey, sector)
    # interpolation and compression blur the borders of letters and lines
    return ndimage.binary_dilation(graphics, iterations=2)


def without_graphics(sequence: ImageSequence, mask: np.ndarray | None = None) -> ImageSequence:
    """Returns the sequence with graphics filled from the surrounding pixels, each frame as it is read.

    Args:
        sequence: the frames.
        mask: (H, W) bool, the pixels to fill; `find_graphics` if None.

    Raises:
        InputError: a mask of another shape, or one that covers everything.
    """
    if mask is None:
        mask = find_graphics(sequence)
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != tuple(sequence.frames.shape[1:]):
        raise InputError(f"the graphics mask is {mask.shape}, the frames are {tuple(sequence.frames.shape[1:])}")
    if mask.all():
        raise InputError("the graphics mask covers the whole frame")
    if not mask.any():
        return sequence
    share = f"{100 * mask.mean():.2g} % of the pixels were taken for graphics and filled from their surroundings"
    return dataclasses.replace(sequence, frames=_FilledFrames(sequence.frames, mask), notes=(*sequence.notes, share))


class _FilledFrames:
    """A frame source that replaces masked pixels by the inverse-distance weighted mean of the nearest unmasked ones."""

    def __init__(self, frames: FrameSource, mask: np.ndarray) -> None:
        self._frames, self._mask = frames, mask
        self.shape, self.dtype = frames.shape, np.dtype(frames.dtype)
        # the nearest unmasked pixels are those on the rim of the mask
        rim = np.argwhere(ndimage.binary_dilation(mask, iterations=3) & ~mask)
        count = min(_NEIGHBOURS, len(rim))
        distance, nearest = cKDTree(rim).query(np.argwhere(mask), k=np.arange(1, count + 1))
        weight = 1.0 / distance
        self._weight = (weight / weight.sum(axis=1, keepdims=True)).astype(np.float32)
        self._source = rim[nearest]

    def __getitem__(self, index: int) -> np.ndarray:
        frame = np.array(self._frames[index])
        near = frame[self._source[..., 0], self._source[..., 1]]
        filled = (near * self._weight).sum(axis=1)
        frame[self._mask] = np.rint(filled) if self.dtype == np.uint8 else filled
        return frame

    def colour_frame(self, index: int) -> np.ndarray | None:
        """Returns the colour of the frame with its graphics; see `ColourFrameSource`."""
        return self._frames.colour_frame(index) if isinstance(self._frames, ColourFrameSource) else None


def _sampled(sequence: ImageSequence) -> np.ndarray:
    """A few frames (N, H, W) float32, scaled so that the picture's range is 255."""
    stack = np.stack([sequence.frame(index) for index in sample_indices(len(sequence))])
    low, high = float(stack.min()), float(stack.max())
    if sequence.frames.dtype == np.uint8 or high <= low:
        return stack
    return (stack - low) * (255.0 / (high - low))


def _sector(grey: np.ndarray) -> np.ndarray:
    span = np.ptp(grey, axis=0)
    # an opening wider than a trace removes traces and keeps the image
    width = max(2, round(0.008 * min(span.shape)))
    labels, count = ndimage.label(
        ndimage.binary_opening(ndimage.binary_closing(span > 8, iterations=2), iterations=width)
    )
    if count == 0:
        return np.ones(span.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())[1:]
    return _convex_hull(np.isin(labels, 1 + np.flatnonzero(sizes >= 0.1 * sizes.max())))


def _convex_hull(mask: np.ndarray) -> np.ndarray:
    """Fills the convex hull of a mask whose regions are at least two pixels wide.

    Sectors and rectangles are convex except at the probe's face.
    """
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]]
    inside = np.ones(mask.shape, dtype=bool)
    for row, column, offset in ConvexHull(np.argwhere(mask & ~ndimage.binary_erosion(mask))).equations:
        inside &= row * rows + column * columns + offset <= 1e-6
    return inside


def _coloured(sequence: ImageSequence, sector: np.ndarray) -> np.ndarray:
    """Finds pixels whose hue differs in any frame from the image's scale (grey, or a tint by brightness)."""
    coloured = np.zeros(sector.shape, dtype=bool)
    for index in sample_indices(len(sequence)):
        colour = colour_frame(sequence, index)
        if colour is None:
            return coloured
        red, green, blue = np.moveaxis(colour.astype(np.float32), -1, 0)
        level = (0.299 * red + 0.587 * green + 0.114 * blue).astype(np.intp) >> 4
        distance = np.zeros(sector.shape, dtype=np.float32)
        few = np.zeros_like(sector)
        few[::3, ::3] = sector[::3, ::3]
        for difference in (red - green, blue - green):
            usual = np.zeros(16, dtype=np.float32)
            for step in np.unique(level[few]):
                usual[step] = np.median(difference[few & (level == step)])
            distance = np.maximum(distance, np.abs(difference - usual[level]))
        coloured |= distance > 32
    # single pixels are compression noise
    return ndimage.binary_opening(coloured, structure=np.ones((2, 2))) if coloured.any() else coloured


def _still_marks(grey: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """Finds thin, static marks that are brighter than their surroundings in every frame.

    Inside the sector, the surroundings must change.
    """
    if len(grey) < 4:
        return np.zeros(sector.shape, dtype=bool)
    darkest, span = grey.min(axis=0), np.ptp(grey, axis=0)
    thin = darkest - ndimage.grey_opening(darkest, size=(7, 7)) > 50
    share = np.maximum(ndimage.uniform_filter(sector.astype(np.float32), 15), 1e-3)
    around = ndimage.uniform_filter(np.where(sector, span, 0), 15) / share
    return thin & (span < 12) & ((span < 0.3 * around) | ~sector)


def _outside(grey: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """Finds graphics outside the sector: pixels brighter than the background, and thin structures that are darker."""
    beyond = ~ndimage.binary_dilation(sector, iterations=max(3, round(0.02 * min(sector.shape))))
    if not beyond.any():
        return beyond
    background = float(np.median(grey[0][beyond]))
    darkest = grey.min(axis=0)
    thin_dark = ndimage.grey_closing(darkest, size=(15, 15)) - darkest > 24
    differs = (grey.max(axis=0) > background + 24) | (thin_dark & (darkest < background - 24))
    # a moving trace is sampled in a few frames only: close the gaps between them
    return beyond & ndimage.binary_closing(differs & beyond, iterations=3)
