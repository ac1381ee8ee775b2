"""Comparison of whole pictures: their structure, the shift between two, and whether one is the other mirrored or
magnified.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from UltrasoundMotionLib.images.smoothing import gaussian_blur

_STRUCTURE = 6.0
"""Standard deviation, in pixels of the small picture, of what is taken for the sector's shape and brightness."""
_ROUNDING = 1e-4
_GRID = 8
_LEAST_TEXTURE = 0.1
_LARGEST_SHIFT = 0.25
"""Shifts are searched for up to this share of the picture's sides."""
_FACTORS = 2.0 ** (np.array([-8, -7, -6, -5, -4, -3, -2, 2, 3, 4, 5, 6, 7, 8]) / 8)
"""Magnifications that are tried to say what a cut is."""
_SAME = 0.95
"""Correlation, after a shift, from which a picture is the one before."""
_EXPLAINED, _UNEXPLAINED = 0.6, 0.5
"""Correlation from which a mirrored or magnified picture is said to be one, and the share of the change that this may
leave unexplained.
"""


@dataclass(frozen=True)
class Likeness:
    """A way in which a picture is like another: mirrored along an axis (None: not), and magnified."""

    mirrored: int | None
    factor: float

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """Mirrors and magnifies a small picture about its centre; 0 where nothing is known."""
        if self.mirrored is not None:
            picture = np.flip(picture, self.mirrored)
        rows, columns = (_magnifier(size, self.factor) for size in picture.shape)
        return rows @ picture @ columns.T

    def undoes(self, other: Likeness) -> bool:
        """Tells whether a picture that becomes another and then changes like this is about what it was."""
        return self.mirrored == other.mirrored and abs(np.log2(self.factor * other.factor)) < 0.2

    @property
    def text(self) -> str:
        """Words for a note."""
        size = "" if self.factor == 1 else f"magnified by about {self.factor:.1f}"
        size = f"made smaller, by about {self.factor:.1f}" if self.factor < 1 else size
        turned = {None: "", 1: "mirrored left to right", 0: "turned upside down"}[self.mirrored]
        return " and ".join(part for part in (turned, size) if part)


def likeness_of(before: np.ndarray, after: np.ndarray) -> Likeness | None:
    """Finds out whether a picture is the one before, mirrored or magnified; None where it is not."""
    same = best_shift(before, after)[1]
    if same > _SAME:
        return None
    tried = [Likeness(axis, 1.0) for axis in (0, 1)] + [Likeness(None, factor) for factor in _FACTORS]
    peaks = [best_shift(one.apply(before), after)[1] for one in tried]
    best = int(np.argmax(peaks))
    is_clear = peaks[best] >= _EXPLAINED and 1 - peaks[best] < _UNEXPLAINED * (1 - same)
    return tried[best] if is_clear else None


@lru_cache(maxsize=64)
def _magnifier(size: int, factor: float) -> np.ndarray:
    """Returns the matrix (size, size) that magnifies one axis about its centre by linear interpolation."""
    middle = (size - 1) / 2
    places = (np.arange(size) - middle) / factor + middle
    return np.clip(1 - np.abs(places[:, None] - np.arange(size)), 0, 1).astype(np.float32)


def best_shift(before: np.ndarray, after: np.ndarray) -> tuple[np.ndarray, float]:
    """Returns the shift (x, y), in pixels, that brings one small picture (h, w) best onto the next, and the correlation
    of the pictures there, as if nothing were lost beyond the border.
    """
    shape = [2 * size for size in before.shape]
    energy = np.sqrt((before * before).sum() * (after * after).sum())
    spectrum = np.fft.rfft2(after, shape) * np.conj(np.fft.rfft2(before, shape))
    answer = np.fft.irfft2(spectrum, shape)
    reach = [int(_LARGEST_SHIFT * size) for size in before.shape]
    answer = np.roll(answer, reach, axis=(0, 1))[: 2 * reach[0] + 1, : 2 * reach[1] + 1]
    row, column = (int(place) for place in np.unravel_index(int(np.argmax(answer)), answer.shape))
    shift = np.array([column - reach[1], row - reach[0]], dtype=np.float64)
    shift += [_vertex(answer[row], column), _vertex(answer[:, column], row)]
    return shift, float(answer[row, column] / energy) if energy > 0 else 0.0


def _vertex(values: np.ndarray, peak: int) -> float:
    """Returns how far the vertex of a parabola through a peak and its neighbours is from the peak; 0 at the border."""
    if not 0 < peak < len(values) - 1:
        return 0.0
    before, at, after = values[peak - 1 : peak + 2]
    bend = 2 * at - before - after
    return float(0.5 * (after - before) / bend) if bend > 0 else 0.0


def translated(frame: np.ndarray, offset: np.ndarray, background: float) -> np.ndarray:
    """Returns a frame (H, W) moved by whole pixels (x, y); the background comes in at its border."""
    x, y = offset.tolist()
    if not (x or y):
        return frame
    height, width = frame.shape
    moved = np.full_like(frame, background)
    if abs(x) < width and abs(y) < height:
        moved[max(0, y) : height + min(0, y), max(0, x) : width + min(0, x)] = frame[
            max(0, -y) : height + min(0, -y), max(0, -x) : width + min(0, -x)
        ]
    return moved


class Structure:
    """A small picture (h, w) without what is common to all of a sector, its shape and brightness, as it is compared.

    Attributes:
        picture: (h, w); a flat one is 0 everywhere.
        any: whether it shows anything.

    Args:
        small: of about 64 pixels; `fine`: of 128.
    """

    def __init__(self, small: np.ndarray, *, fine: bool = False) -> None:
        sigma = 2 * _STRUCTURE if fine else _STRUCTURE
        small = gaussian_blur(small, sigma / 6)
        detail = small - gaussian_blur(small, sigma)
        self.any = bool(np.ptp(detail) > _ROUNDING * np.abs(small).max())
        self.picture = detail if self.any else np.zeros_like(detail)
        blocks = _blocks(self.picture)
        self._energy = np.einsum("bs,bs->b", blocks, blocks)
        self._least = _LEAST_TEXTURE * float(self._energy.mean())
        centred = blocks - blocks.mean(axis=1, keepdims=True)
        size = np.sqrt(np.einsum("bs,bs->b", centred, centred))
        self._blocks = centred / np.where(size > 0, size, np.inf)[:, None]

    def change_to(self, other: Structure) -> float:
        """Returns 1 - correlation with another one in a typical block: the median over those blocks of an 8 x 8 grid
        that show something in both, so that a shadow that falls on part of the picture is no change; 1 where none does.
        """
        least = min(self._least, other._least)  # a bright box in one of them does not make all else flat
        both = (self._energy > least) & (other._energy > least)
        alike = np.sort(np.einsum("bs,bs->b", self._blocks, other._blocks)[both])
        return 1 - float(alike[(len(alike) - 1) // 2] + alike[len(alike) // 2]) / 2 if len(alike) else 1.0


def _blocks(small: np.ndarray) -> np.ndarray:
    """Returns the blocks of a small picture as rows, (64, pixels)."""
    grid = [min(_GRID, size) for size in small.shape]
    rows, columns = (size // count for size, count in zip(small.shape, grid, strict=True))
    cut = small[: rows * grid[0], : columns * grid[1]].reshape(grid[0], rows, grid[1], columns)
    return cut.swapaxes(1, 2).reshape(grid[0] * grid[1], rows * columns)
