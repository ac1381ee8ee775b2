"""Online trackers: the contract, and the stream of their results over a sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.tracking.query import PointQuery


@dataclass(frozen=True)
class FrameTracks:
    """Points on one frame: positions_px (N, 2) float64, confidence (N,) in [0, 1], visible (N,) bool."""

    positions_px: np.ndarray
    confidence: np.ndarray
    visible: np.ndarray


class OnlineTracker(Protocol):
    """Sees one frame after the other and keeps a bounded memory of them.

    A tracker that is quicker with several frames at once may also have `frames_at_once`, their number, and
    `update_many(frames (K, H, W)) -> list[FrameTracks]`, which gives the results of K updates.
    """

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Begins on `frame` (H, W) float32 with points (N, 2) in pixels."""
        ...

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Follows the points into the next frame."""
        ...


def stream_tracks(
    sequence: ImageSequence, create_tracker: Callable[[], OnlineTracker], query: PointQuery
) -> Iterator[tuple[int, FrameTracks]]:
    """Yields (frame index, points) from the query frame to the last, then from the query frame back to the first; or
    only one of the two.

    Each result is available before the next frame is read (the next `frames_at_once` of a tracker that has them), and
    nothing is kept but what the tracker keeps. The points of the query frame itself are yielded once.
    """
    for step in query.steps:
        if step != query.steps[0] and query.frame == 0:
            break  # nothing lies before it
        frames = iter(sequence.iterate(query.frame, step))
        index, frame = next(frames)
        tracker = create_tracker()
        first = tracker.start(frame, query.points_px)
        if step == query.steps[0]:
            yield index, first
        at_once = getattr(tracker, "frames_at_once", 1)
        while group := list(islice(frames, at_once)):
            if at_once == 1:
                yield group[0][0], tracker.update(group[0][1])
            else:
                results = tracker.update_many(np.stack([frame for _, frame in group]))  # type: ignore[attr-defined]
                yield from zip((index for index, _ in group), results, strict=True)
