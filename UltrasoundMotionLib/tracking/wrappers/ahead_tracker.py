"""Prediction ahead of any tracker, for a system that acts on an image when the image is already old."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks, OnlineTracker
from UltrasoundMotionLib.tracking.wrappers.motion_memory import MotionMemory, MotionMemoryConfig


class AheadTracker:
    """Implements `OnlineTracker` around another one: each result is predicted for `frames` after the frame it was
    found in.

    Attributes:
        seen: the points where they were found in the last frame, not predicted.
    """

    def __init__(self, tracker: OnlineTracker, frames: int, config: MotionMemoryConfig | None = None) -> None:
        if frames < 1:
            raise InputError(f"a prediction must be at least one frame ahead, got {frames}")
        self._tracker, self._frames, self._config = tracker, frames, config

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.start`; the motion is not known yet, so nothing is predicted."""
        self.seen = first = self._tracker.start(frame, query_points)
        self._memory = MotionMemory(first.positions_px, max(frame.shape) / 256, self._config)
        return first

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.update`."""
        self.seen = found = self._tracker.update(frame)
        self._memory.add(found.positions_px, found.visible)
        ahead = np.clip(self._memory.predict(self._frames), 0, [frame.shape[1] - 1, frame.shape[0] - 1])
        return FrameTracks(ahead, found.confidence, found.visible)
