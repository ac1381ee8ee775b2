"""Stalled video: frames that are black or repeat the frame before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.tracking.online_tracker import FrameTracks

REPEATED, STALLED = "repeated", "stalled"


@dataclass(frozen=True)
class StallConfig:
    """Limits by which a frame counts as black or repeated.

    Attributes:
        frozen_frames: a frame like the one before is skipped; from so many in a row on, the video counts as stalled.
        frozen_change: mean change of grey levels, relative to the first frame's standard deviation, under which a frame
            is like the one before.
        black_share: a frame whose mean (above the first frame's least value) or standard deviation is under this share
            of the first's shows nothing.
    """

    frozen_frames: int = 2
    frozen_change: float = 1e-3
    black_share: float = 0.1


class StalledVideo:
    """Compares frames (H, W) with the first and the last one that showed something.

    Attributes:
        missed: frames in a row that showed nothing new.
        is_black: whether the last of them showed nothing at all.
    """

    def __init__(self, first: np.ndarray, config: StallConfig | None = None) -> None:
        self.config = config or StallConfig()
        self.missed = 0
        self.is_black = False
        self._least, self._deviation = float(first.min()), float(first.std())
        self._mean = float(first.mean()) - self._least
        self._last = np.array(first)

    def check(self, frame: np.ndarray) -> str | None:
        """Returns `REPEATED` for a frame to skip, `STALLED` for one of a stalled video, None for one to track in."""
        self.is_black = black = bool(
            frame.mean() - self._least < self.config.black_share * self._mean
            or frame.std() < self.config.black_share * self._deviation
        )
        frozen = not black and np.abs(frame - self._last).mean() <= self.config.frozen_change * self._deviation
        if not (black or frozen):
            self._last = np.array(frame)
            return None
        self.missed += 1
        return REPEATED if frozen and self.missed < self.config.frozen_frames else STALLED

    def resume(self) -> int:
        """Returns the number of frames missed before this one; counting starts again."""
        missed, self.missed = self.missed, 0
        return missed


def tracks_of_stall(last: FrameTracks, stall: str) -> FrameTracks:
    """Returns the points of a frame that shows nothing new: the last ones, not visible and with confidence 0 when the
    video has stalled.
    """
    if stall == REPEATED:
        return last
    nothing = np.zeros(len(last.positions_px))
    return FrameTracks(last.positions_px, nothing, nothing.astype(bool))
