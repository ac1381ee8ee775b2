"""SpeckNet as published: each frame and each point by itself (Sec. 4.2)."""

from __future__ import annotations

import numpy as np
import torch

from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.trackers.specknet.cost_volume import soft_argmax
from UltrasoundMotionLib.tracking.trackers.specknet.search import SpeckNetSearch

_FLAT_RADIUS_PX = 4


class SpeckNetPublished:
    """Implements `OnlineTracker`; keeps the query points' features only.

    The confidence is the mean match, in [0, 1], of the three volumes at the peak. The paper has no notion of
    visibility: all points are visible, except where the frame is flat around the peak, as where it is black: features
    of a flat patch match each other perfectly and say nothing.
    """

    def __init__(self, search: SpeckNetSearch, frames_at_once: int = 1) -> None:
        self.frames_at_once = frames_at_once
        self._search = search

    @torch.inference_mode()
    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.start`."""
        self._search.start(frame, query_points)
        count = len(query_points)
        self._limit = [frame.shape[1] - 1, frame.shape[0] - 1]
        return FrameTracks(np.array(query_points, dtype=np.float64), np.ones(count), np.ones(count, dtype=bool))

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.update`."""
        return self.update_many(frame[None])[0]

    @torch.inference_mode()
    def update_many(self, frames: np.ndarray) -> list[FrameTracks]:
        """Updates with several frames (K, H, W) at once."""
        config = self._search.config
        peak = soft_argmax(self._search.log_volumes(frames), config)
        positions = self._search.grid.to_frame(peak.points).cpu().numpy().astype(np.float64).clip(0, self._limit)
        confidence = (peak.log_height / (3 * config.contrast_power)).exp().cpu().numpy().astype(np.float64)
        seen = [~_is_flat(frame, points) for frame, points in zip(frames, positions, strict=True)]
        return [FrameTracks(p, c * s, s) for p, c, s in zip(positions, confidence, seen, strict=True)]


def _is_flat(frame: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns (N,) bool: a frame (H, W) has one grey level all around a point (x, y)."""
    rows, columns = frame.shape
    around = np.arange(-_FLAT_RADIUS_PX, _FLAT_RADIUS_PX + 1)
    x, y = np.rint(points).astype(int).T
    patches = frame[
        (y[:, None, None] + around[:, None]).clip(0, rows - 1), (x[:, None, None] + around).clip(0, columns - 1)
    ]
    return patches.max(axis=(1, 2)) == patches.min(axis=(1, 2))
