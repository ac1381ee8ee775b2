"""What every tracker of points or landmarks offers, and its run over a sequence from any query frame."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

DIRECTIONS = {"both": (1, -1), "forward": (1,), "backward": (-1,)}


@dataclass(frozen=True)
class FrameTracks:
    """All points on one frame: positions_px (N, 2) float64, confidence (N,) in [0, 1], visible (N,) bool."""

    positions_px: np.ndarray
    confidence: np.ndarray
    visible: np.ndarray


class OnlineTracker(Protocol):
    """Sees one frame after the other and keeps a bounded memory of them.

    A tracker that is quicker with several frames at once may also have `frames_at_once`, how many it wants, and
    `update_many(frames (K, H, W)) -> list[FrameTracks]`, which gives what K updates would.
    """

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Begins on `frame` (H, W) float32 with points (N, 2) in pixels."""
        ...

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Follows the points into the next frame."""
        ...


def check_query_points(sequence: ImageSequence, query_points: np.ndarray, query_frame: int) -> np.ndarray:
    """Returns the points as (N, 2) float64.

    Raises:
        InputError: no point, a wrong shape, a point outside the image or not finite, a query frame that does not exist.
    """
    where = sequence.path or sequence.name
    points = np.asarray(query_points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise InputError(f"query points must be (N, 2) with at least one point, got shape {points.shape}")
    if not 0 <= query_frame < len(sequence):
        raise InputError(
            f"{where}: query frame {query_frame} does not exist; there are {len(sequence)} (0 to {len(sequence) - 1})"
        )
    width, height = sequence.frame_size
    for index, (x, y) in enumerate(points):
        if not (np.isfinite(x) and np.isfinite(y) and -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            raise InputError(
                f"{where}: point {index} at ({x:g}, {y:g}) lies outside the image of {width} x {height} pixels"
            )
    return points


def stream_tracks(
    sequence: ImageSequence,
    create_tracker: Callable[[], OnlineTracker],
    query_points: np.ndarray,
    query_frame: int = 0,
    direction: str = "both",
) -> Iterator[tuple[int, FrameTracks]]:
    """Yields (frame index, points) from the query frame to the last, then from the query frame back to the first; or
    only one of the two.

    Each result is available before the next frame is read (the next `frames_at_once` of a tracker that has them), and
    nothing is kept but what the tracker keeps. The points of the query frame itself are yielded once.

    Raises:
        InputError: see `check_query_points`; a direction that is not in `DIRECTIONS`.
    """
    points = check_query_points(sequence, query_points, query_frame)
    if direction not in DIRECTIONS:
        raise InputError(f"direction must be one of {', '.join(DIRECTIONS)}, got {direction}")
    for step in DIRECTIONS[direction]:
        frames = iter(sequence.iterate(query_frame, step))
        index, frame = next(frames)
        tracker = create_tracker()
        first = tracker.start(frame, points)
        if step == DIRECTIONS[direction][0]:
            yield index, first
        elif query_frame == 0:
            break
        at_once = getattr(tracker, "frames_at_once", 1)
        while group := list(islice(frames, at_once)):
            if at_once == 1:
                yield group[0][0], tracker.update(group[0][1])
            else:
                results = tracker.update_many(np.stack([frame for _, frame in group]))
                yield from zip((index for index, _ in group), results, strict=True)


def run_tracker(
    sequence: ImageSequence,
    create_tracker: Callable[[], OnlineTracker],
    query_points: np.ndarray,
    *,
    labels: tuple[str, ...] | None = None,
    query_frame: int = 0,
    direction: str = "both",
    model: str = "",
    progress: Progress = no_progress,
    on_frame: Callable[[int, FrameTracks], None] | None = None,
    keep_partial: bool = False,
) -> PointTracks:
    """Follows the points through the sequence and collects the result.

    Args:
        direction: "both", or only "forward" or "backward" from the query frame; the other frames stay NaN.
        on_frame: called with each frame's index and points as soon as they are found, before `progress`.
        keep_partial: when `progress` raises, return what was finished (NaN elsewhere) rather than pass the exception
            on.

    Raises:
        InputError: see `check_query_points`; whatever `progress` raises unless `keep_partial`.
    """
    points = check_query_points(sequence, query_points, query_frame)
    frame_count, point_count = len(sequence), len(points)
    steps = {"forward": frame_count - query_frame, "backward": query_frame + 1}.get(direction, frame_count)
    positions = np.full((frame_count, point_count, 2), np.nan)
    confidence = np.zeros((frame_count, point_count))
    visible = np.zeros((frame_count, point_count), dtype=bool)
    for done, (index, result) in enumerate(
        stream_tracks(sequence, create_tracker, points, query_frame, direction), start=1
    ):
        positions[index], confidence[index], visible[index] = result.positions_px, result.confidence, result.visible
        if on_frame is not None:
            on_frame(index, result)
        try:
            progress(done, steps, f"frame {index}")
        except Exception:
            if not keep_partial:
                raise
            break
    return PointTracks(
        positions_px=positions,
        confidence=confidence,
        visible=visible,
        labels=labels or tuple(f"P{index + 1}" for index in range(point_count)),
        query_frame=query_frame,
        times_s=sequence.times_s,
        spacing_mm=sequence.spacing_mm,
        model=model,
    )
