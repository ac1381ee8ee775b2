"""Cuts: the picture becomes another one at once (another view, a mirrored display, another depth).

A tracker goes on after a cut as if nothing had happened: what it matches is another place. So points are not visible
after a cut, except when the picture as a whole is again that of the query frame, and where their place looks so too.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from UltrasoundMotionLib.images.smoothing import gaussian_blur, sample_bilinear
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks, OnlineTracker

_SIZE = 64
"""Longer side of the small pictures that are compared."""
_STRUCTURE = 6.0
"""Standard deviation, in pixels of the small picture, of what is taken for the sector's shape and brightness."""
_LEAST_CHANGE, _LEAST_FIRST_CHANGE = 0.08, 0.25
"""Change (1 - correlation, in a typical block) from which a cut is possible, and that without frames to compare with.
From frame to frame of six real clips (echo, liver, phantoms) it is 0.04 at most, where a shadow falls on a part 0.09;
from a frame to itself mirrored, magnified by 1.4 or shifted by 20 pixels 0.14 to 1.2. A quick freehand sweep reaches
0.36.
"""
_USUAL_FACTOR = 5.0
"""A cut changes the picture more than so many times as much as the median of the last frames."""
_FARTHER = 1.5
"""The picture is back when it differs from the query frame at most so many times as much as frames before the cut."""
_FRAMES, _FEWEST_FRAMES = 32, 3
_ROUNDING = 1e-4
_GRID = 8
_LEAST_TEXTURE = 0.1
_PATCH_RADIUS = 1 / 12
"""Half the side of the patch around a point, as a fraction of the frame's longer side."""
_PATCH_SAMPLES = 25
_PATCH_DETAIL = 6.0
"""Standard deviation, in samples, of what counts as the patch's brightness."""
_ALIKE = 0.8
"""Correlation with the query frame's patch from which a place looks as it did."""


class CutWatchedTracker:
    """Implements `OnlineTracker` around another one: after a cut its points are hidden.

    Attributes:
        cut_after: the number of updates of which the last was the first after a cut; None before one.
    """

    def __init__(self, tracker: OnlineTracker) -> None:
        self.cut_after: int | None = None
        self.frames_at_once: int = getattr(tracker, "frames_at_once", 1)
        self._tracker = tracker

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.start`."""
        self.cut_after, self._count = None, 0
        self._small = self._query_small = _small(frame)
        self._farthest = 0.0
        self._changes: deque[float] = deque(maxlen=_FRAMES)
        self._query_patches = _patches(frame, np.asarray(query_points, dtype=np.float64))
        return self._tracker.start(frame, query_points)

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.update`."""
        return self._hidden_after_cut(frame, self._tracker.update(frame))

    def update_many(self, frames: np.ndarray) -> list[FrameTracks]:
        """Updates with several frames (K, H, W) at once."""
        found = self._tracker.update_many(frames)  # type: ignore[attr-defined]  # its `frames_at_once` says so
        return [self._hidden_after_cut(frame, one) for frame, one in zip(frames, found, strict=True)]

    def _hidden_after_cut(self, frame: np.ndarray, found: FrameTracks) -> FrameTracks:
        """Returns the points of the next frame, hidden and with confidence 0 where a cut says so."""
        self._count += 1
        if self.cut_after is None and self._is_cut(frame):
            self.cut_after = self._count
        if self.cut_after is None:
            self._farthest = max(self._farthest, self._from_query(frame))
            return found
        is_back = self._from_query(frame) <= max(_LEAST_CHANGE, _FARTHER * self._farthest)
        alike = is_back & (_correlation(_patches(frame, found.positions_px), self._query_patches) >= _ALIKE)
        return FrameTracks(found.positions_px, np.where(alike, found.confidence, 0.0), found.visible & alike)

    def _from_query(self, frame: np.ndarray) -> float:
        """Returns how much a frame differs from the query frame; 0 for a flat one, which says nothing."""
        small = _small(frame)
        return _change(self._query_small, small) if small.any() and self._query_small.any() else 0.0

    def _is_cut(self, frame: np.ndarray) -> bool:
        small, before = _small(frame), self._small
        if not small.any():
            return False  # a black or flat frame: the next one is compared with the last that showed something
        change = _change(before, small)
        if not before.any():
            self._small = small
            return False
        known = len(self._changes) >= _FEWEST_FRAMES
        usual = float(np.median(self._changes)) if known else 0.0
        self._small = small
        self._changes.append(change)
        return change > max(_LEAST_CHANGE if known else _LEAST_FIRST_CHANGE, _USUAL_FACTOR * usual)


def _small(frame: np.ndarray) -> np.ndarray:
    """Returns a frame (H, W) at 64 pixels, without what is common to all of a sector: its shape and brightness.

    A flat frame gives 0 everywhere.
    """
    step = max(1, round(max(frame.shape) / _SIZE))
    rows, columns = (size // step * step for size in frame.shape)
    blocks = frame[:rows, :columns].reshape(rows // step, step, columns // step, step)
    small = gaussian_blur(blocks.mean(axis=(1, 3), dtype=np.float32), 1.0)
    detail = small - gaussian_blur(small, _STRUCTURE)
    return np.where(np.ptp(detail) > _ROUNDING * np.abs(small).max(), detail, 0.0)


def _change(before: np.ndarray, after: np.ndarray) -> float:
    """Returns 1 - correlation of two small pictures in a typical block: the median over those blocks of an 8 x 8 grid
    that show something in both, so that a shadow that falls on part of the picture is no cut; 1 where none does.
    """
    blocks = [_blocks(before), _blocks(after)]
    energies = [(one * one).sum(axis=-1) for one in blocks]
    textured = np.all([energy > _LEAST_TEXTURE * energy.mean() for energy in energies], axis=0)
    return 1 - float(np.median(_correlation(*blocks)[textured])) if textured.any() else 1.0


def _blocks(small: np.ndarray) -> np.ndarray:
    """Returns the blocks of a small picture as rows, (64, pixels)."""
    rows, columns = (size // _GRID for size in small.shape)
    cut = small[: rows * _GRID, : columns * _GRID].reshape(_GRID, rows, _GRID, columns)
    return cut.swapaxes(1, 2).reshape(_GRID * _GRID, rows * columns)


def _patches(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns (N, 625) grey levels around points (N, 2) in pixels, smoothed, without what is coarser than the patch;
    beyond the border the border's own.
    """
    radius = _PATCH_RADIUS * max(frame.shape)
    around = np.linspace(-radius, radius, _PATCH_SAMPLES)
    step = radius / _PATCH_SAMPLES
    smooth = gaussian_blur(np.asarray(frame, dtype=np.float32), step)
    smooth -= gaussian_blur(smooth, _PATCH_DETAIL * step)
    x, y = np.broadcast_arrays(points[:, 0, None, None] + around, points[:, 1, None, None] + around[:, None])
    return sample_bilinear(smooth, x, y).reshape(len(points), -1)


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns the correlation of the last axes; 0 where either is constant."""
    one, other = (part - part.mean(axis=-1, keepdims=True) for part in (first, second))
    size = np.sqrt((one * one).sum(axis=-1) * (other * other).sum(axis=-1))
    return (one * other).sum(axis=-1) / np.where(size > 0, size, np.inf)
