"""Whole-clip trackers: the contract, and the run over a sequence of any length in overlapping windows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.query import PointQuery


@dataclass(frozen=True)
class ClipTracks:
    """Points in all frames of a window: positions_px (T, N, 2) float64, confidence (T, N) in [0, 1], visible (T, N)."""

    positions_px: np.ndarray
    confidence: np.ndarray
    visible: np.ndarray


class ClipTracker(Protocol):
    """Sees a whole clip, or windows of it.

    Attributes:
        frames_at_most: number of frames that it can see together, for its memory or its training; at least 2.
    """

    frames_at_most: int

    def track(self, frames: np.ndarray, query_points: np.ndarray) -> ClipTracks:
        """Follows points (N, 2) px given on the first of the frames (T, H, W) float32 into all of them."""
        ...


def track_clip(
    sequence: ImageSequence,
    create_tracker: Callable[[], ClipTracker],
    query: PointQuery,
    emit: Callable[[int, FrameTracks], None],
) -> str:
    """Follows the points of a query from its frame to both ends of the sequence, or only one way.

    A part that is longer than the tracker's windows is tracked in windows that overlap by half: each begins on the
    middle frame of the one before, with the positions found there.

    Args:
        emit: called with each frame's index and points, the query frame first; may raise to stop.

    Returns:
        A note on the windows; empty where each part fitted into one.
    """
    windows = parts = 0
    for step in query.steps:
        frames = list(query.frames(step))
        done = 0 if step == query.steps[0] else 1  # the query frame is emitted once
        if done == len(frames):
            continue
        parts += 1
        points, start = query.points_px, 0
        while done < len(frames):
            tracker = create_tracker()
            window = frames[start : start + max(2, tracker.frames_at_most)]
            found = tracker.track(np.stack([sequence.frame(index) for index in window]), points)
            windows += 1
            for place in range(done - start, len(window)):
                emit(
                    window[place], FrameTracks(found.positions_px[place], found.confidence[place], found.visible[place])
                )
            done = start + len(window)
            middle = max(1, len(window) // 2)
            points, start = np.asarray(found.positions_px[middle], dtype=np.float64), start + middle
    if windows == parts:
        return ""
    return f"the clip is longer than the tracker's memory: it was tracked in {windows} overlapping windows"
