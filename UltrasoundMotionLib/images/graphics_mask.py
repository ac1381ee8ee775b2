"""Detection and removal of burned-in scanner graphics (text, rulers, ECG traces), and of colour flow frame by frame.

Graphics are sharp and do not move with the tissue, so a tracker near a ruler or a trace would follow them instead.
Colour flow hides the tissue under it in the frames in which it is there.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import colour_frame
from UltrasoundMotionLib.images.filled_frames import FilledFrames
from UltrasoundMotionLib.images.image_sequence import FilledFrameSource, ImageSequence
from UltrasoundMotionLib.images.morphology import (
    binary_closing,
    binary_dilation,
    close_rectangles,
    grey_closing,
    grey_opening,
    label,
    uniform_filter,
)
from UltrasoundMotionLib.images.sector import sampled_grey, sector_mask, sector_of
from UltrasoundMotionLib.images.tissue_hue import ColouredPixels, coloured_pixels, is_colour_flow

__all__ = ["find_graphics", "graphics_picture", "sector_mask", "without_graphics"]

_NEAR_FIELD_SHARE, _BAND_SHARE = 0.25, 0.4
_MARKED = np.array([255, 0, 255], dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class _Found:
    """Permanent graphics (H, W), the sector (H, W), and the coloured pixels of a clip in colour."""

    mask: np.ndarray
    sector: np.ndarray
    coloured: ColouredPixels | None

    @property
    def has_flow(self) -> bool:
        """True if part of the sector is coloured in passing."""
        return self.coloured is not None and is_colour_flow(self.coloured, self.sector)


def find_graphics(sequence: ImageSequence) -> np.ndarray:
    """Finds the pixels of burned-in graphics; (H, W) bool.

    Three kinds are detected, from up to 32 frames spread over the clip: pixels whose hue differs from the image's grey
    or tinted scale, inside the sector only where they are always the same (the colours of flow come and go); thin
    bright marks inside the sector that do not change while their surroundings do, without the bands of the near field;
    anything outside the sector that differs from the background, still (text, rulers, icons) or moving (ECG and other
    traces).
    """
    return _find(sequence).mask


def _find(sequence: ImageSequence) -> _Found:
    grey = sampled_grey(sequence)
    sector = sector_of(grey)
    coloured = coloured_pixels(sequence, sector)
    graphics = _still_marks(grey, sector) | _outside(grey, sector)
    if coloured is not None:
        few = len(grey) < 2 or not is_colour_flow(coloured, sector)
        graphics |= coloured.still | (coloured.passing & (~sector | few))
    # interpolation and compression blur the borders of letters and lines
    return _Found(binary_dilation(graphics, iterations=2), sector, coloured)


def without_graphics(sequence: ImageSequence, mask: np.ndarray | None = None) -> ImageSequence:
    """Returns the sequence with graphics filled from the surrounding pixels, each frame as it is read.

    Without a mask, colour flow is filled too, in the frames that show it. The frames are a `FilledFrameSource`.

    Args:
        sequence: the frames.
        mask: (H, W) bool, the pixels to fill; `find_graphics` if None.

    Raises:
        InputError: a mask of another shape, or one that covers everything.
    """
    found = None
    if mask is None:
        found = _find(sequence)
        mask = found.mask
    mask = np.asarray(mask, dtype=bool)
    if mask.shape != tuple(sequence.frames.shape[1:]):
        raise InputError(f"the graphics mask is {mask.shape}, the frames are {tuple(sequence.frames.shape[1:])}")
    if mask.all():
        raise InputError("the graphics mask covers the whole frame")
    notes = []
    if mask.any():
        notes.append(
            f"{100 * mask.mean():.2g} % of the pixels were taken for graphics and filled from their surroundings"
        )
    hue = sector = None
    if found is not None and found.has_flow and found.coloured is not None:
        hue, sector = found.coloured.hue, found.sector
        share = (found.coloured.passing & sector).sum() / sector.sum()
        notes.append(
            f"{100 * share:.2g} % of the sector is coloured in passing (colour flow, or a trace): filled in the frames "
            "that show it, where points on it count as not visible"
        )
    if not notes:
        return sequence
    frames = FilledFrames(sequence.frames, mask, hue, sector)
    return dataclasses.replace(sequence, frames=frames, notes=(*sequence.notes, *notes))


def graphics_picture(sequence: ImageSequence, index: int = 0) -> np.ndarray:
    """Returns frame `index` as (H, W, 3) uint8 with the pixels that `without_graphics` fills in magenta.

    Args:
        sequence: as it was read, or as `without_graphics` returns it.
        index: the frame.
    """
    filled = sequence if isinstance(sequence.frames, FilledFrameSource) else without_graphics(sequence)
    colour = colour_frame(sequence, index)
    if colour is None:
        grey = sequence.frame(index)
        low, high = (0.0, 255.0) if sequence.frames.dtype == np.uint8 else (float(grey.min()), float(grey.max()))
        colour = np.repeat(((grey - low) * (255.0 / max(high - low, 1e-9)))[..., None], 3, axis=-1)
    picture = np.array(colour, dtype=np.float32)
    if isinstance(filled.frames, FilledFrameSource):
        hidden = filled.frames.filled(index)
        picture[hidden] = 0.5 * picture[hidden] + 0.5 * _MARKED
    return picture.astype(np.uint8)


def _still_marks(grey: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """Finds thin, static marks that are brighter than their surroundings in every frame.

    Inside the sector, the surroundings must change.
    """
    if len(grey) < 4:
        return np.zeros(sector.shape, dtype=bool)
    darkest, span = grey.min(axis=0), np.ptp(grey, axis=0)
    thin = darkest - grey_opening(darkest, 7) > 50
    share = np.maximum(uniform_filter(sector.astype(np.float32), 15), 1e-3)
    around = uniform_filter(np.where(sector, span, 0), 15) / share
    marks = thin & (span < 12) & ((span < 0.3 * around) | ~sector)
    return marks & ~_near_field_bands(marks, sector)


def _near_field_bands(marks: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """Returns the marks that are bands of the near field: in the upper part of the sector, and nearly as wide."""
    rows = np.flatnonzero(sector.any(axis=1))
    bands = np.zeros_like(marks)
    if sector.all() or not len(rows):
        return bands
    lowest = rows[0] + _NEAR_FIELD_SHARE * (rows[-1] - rows[0] + 1)
    # speckle interrupts a band
    labels, count = label(close_rectangles(marks & sector, 3, 9))
    for number in range(1, count + 1):
        piece = labels == number
        place = tuple(
            slice(found[0], found[-1] + 1) for found in (np.flatnonzero(piece.any(axis=axis)) for axis in (1, 0))
        )
        across = int(sector[place[0]].any(axis=0).sum())
        if place[0].stop <= lowest and place[1].stop - place[1].start >= _BAND_SHARE * across:
            bands |= piece
    return bands


def _outside(grey: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """Finds graphics outside the sector: pixels brighter than the background, and thin structures that are darker."""
    beyond = ~binary_dilation(sector, iterations=max(3, round(0.02 * min(sector.shape))))
    if not beyond.any():
        return beyond
    background = float(np.median(grey[0][beyond]))
    darkest = grey.min(axis=0)
    thin_dark = grey_closing(darkest, 15) - darkest > 24
    differs = (grey.max(axis=0) > background + 24) | (thin_dark & (darkest < background - 24))
    # a moving trace is sampled in a few frames only: close the gaps between them
    return beyond & binary_closing(differs & beyond, iterations=3)
