"""Watching of any tracker: landmarks in shadow or at the border, and stalled video, are reported as not visible."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks, OnlineTracker
from UltrasoundMotionLib.tracking.stalled_video import StallConfig, StalledVideo, tracks_of_stall
from UltrasoundMotionLib.tracking.wrappers.motion_memory import MotionMemory, MotionMemoryConfig
from UltrasoundMotionLib.tracking.wrappers.shadow_watch import ShadowWatch


@dataclass(frozen=True)
class WatchConfig:
    """Settings; chosen on tuning liver phantoms (Docs/concepts/landmark-trackers.md).

    Attributes:
        shadows: compute the confidence map in every frame.
        grid: longer side of its grid.
        hidden_below: confidence, relative to its depth and to the landmark's own on the query frame (where that was
            below usual), under which a landmark is in shadow ...
        seen_above: ... until it is above this again.
        border_px: a landmark nearer to the frame's border than this is marked not visible.
        stall: limits of stalled video.
        motion: of the memory that predicts hidden landmarks.
    """

    shadows: bool = True
    grid: int = 96
    hidden_below: float = 0.5
    seen_above: float = 0.6
    border_px: float = 1.0
    stall: StallConfig = field(default_factory=StallConfig)
    motion: MotionMemoryConfig = field(default_factory=MotionMemoryConfig)


class WatchedTracker:
    """Implements `OnlineTracker` around another one.

    A hidden landmark moves as the motion memory predicts, with confidence 0 and `visible` False, and is followed again
    when sound reaches it. A tracker that has `hold(which (N,) bool, positions_px (N, 2))` gets the hidden landmarks
    before each update, learns nothing from them and looks for them where they are expected; the results of any other
    are ignored for hidden landmarks. A frozen or black frame does not reach the tracker; the landmarks stay where they
    were until the video goes on.

    Attributes:
        watches_video: True: it is given black and frozen frames too, to count those that were missed.
    """

    watches_video = True

    def __init__(self, tracker: OnlineTracker, config: WatchConfig | None = None) -> None:
        self._tracker = tracker
        self.config = config or WatchConfig()

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.start`."""
        config = self.config
        first = self._tracker.start(frame, query_points)
        self._last = first
        self._shape = frame.shape
        self._video = StalledVideo(frame, config.stall)
        self._memory = MotionMemory(first.positions_px, max(frame.shape) / 256, config.motion)
        self._hidden = np.zeros(len(first.positions_px), dtype=bool)
        self._shadow = ShadowWatch(frame, config.grid) if config.shadows else None
        if self._shadow is not None:
            self._usual = np.minimum(self._shadow.reach(frame, first.positions_px), 1.0)
        return first

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.update`.

        Raises:
            InputError: the frame has another size than the first.
        """
        if frame.shape != self._shape:
            height, width = self._shape
            raise InputError(
                f"the frame is {frame.shape[1]} x {frame.shape[0]} pixels, the first one was {width} x {height}"
            )
        if (stall := self._video.check(frame)) is not None:
            return tracks_of_stall(self._last, stall)
        missed = self._video.resume()
        expected = self._inside(self._memory.predict(missed + 1))
        if self._shadow is not None:
            reach = self._shadow.reach(frame, expected)
            self._hidden = (
                reach < np.where(self._hidden, self.config.seen_above, self.config.hidden_below) * self._usual
            )
        unseen = self._hidden | (missed > self.config.stall.frozen_frames)
        if unseen.any() and hasattr(self._tracker, "hold"):
            self._tracker.hold(unseen, expected)
        found = self._tracker.update(frame)
        if missed:
            positions = np.where(unseen[:, None], expected, found.positions_px)
        else:
            positions = self._inside(self._memory.follow_companions(found.positions_px, ~unseen))
        margin, (height, width) = self.config.border_px, frame.shape
        off = (
            (positions < margin).any(axis=1)
            | (positions[:, 0] > width - 1 - margin)
            | (positions[:, 1] > height - 1 - margin)
        )
        visible = found.visible & ~unseen & ~off
        self._memory.add(positions, visible)
        self._last = FrameTracks(positions, np.where(unseen, 0.0, found.confidence), visible)
        return self._last

    def _inside(self, positions: np.ndarray) -> np.ndarray:
        height, width = self._shape
        return np.clip(positions, 0, [width - 1, height - 1])
