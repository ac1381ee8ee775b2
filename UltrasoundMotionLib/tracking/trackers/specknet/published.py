"""SpeckNet as published: each frame and each point by itself (Sec. 4.2)."""

from __future__ import annotations

import numpy as np
import torch

from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.trackers.specknet.cost_volume import soft_argmax
from UltrasoundMotionLib.tracking.trackers.specknet.search import SpeckNetSearch


class SpeckNetPublished:
    """Implements `OnlineTracker`; keeps the query points' features only.

    The confidence is the mean match, in [0, 1], of the three volumes at the peak. The paper has no notion of
    visibility: all points are visible.
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
        return [FrameTracks(p, c, np.ones(len(c), dtype=bool)) for p, c in zip(positions, confidence, strict=True)]
