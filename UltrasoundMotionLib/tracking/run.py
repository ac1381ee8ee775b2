"""The run of a tracker over a sequence: its results collected frame by frame, with progress and cancellation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.clip_tracker import AnyFrameTracker, ClipTracker, track_clip
from UltrasoundMotionLib.tracking.filled_pixels import hide_filled
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks, OnlineTracker, stream_tracks
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.wrappers.cut_watch import CutWatchedTracker

OnFrame = Callable[[int, FrameTracks], None]


class _RunStopped(Exception):
    """Raised by `_TrackCollector.add` when `progress` stopped a run whose finished frames are kept."""


class _TrackCollector:
    """Collects the results of a run.

    Args:
        progress: called after each frame.
        on_frame: called with each frame's index and points, before `progress`.
        keep_partial: when `progress` raises, stop and keep what was finished rather than pass the exception on.
    """

    def __init__(
        self,
        sequence: ImageSequence,
        query: PointQuery,
        *,
        progress: Progress = no_progress,
        on_frame: OnFrame | None = None,
        keep_partial: bool = False,
    ) -> None:
        frame_count, point_count = len(sequence), len(query.points_px)
        self._sequence, self._query = sequence, query
        self._progress, self._on_frame, self._keep_partial = progress, on_frame, keep_partial
        self._done = self._reported = 0
        self._positions = np.full((frame_count, point_count, 2), np.nan)
        self._confidence = np.zeros((frame_count, point_count))
        self._visible = np.zeros((frame_count, point_count), dtype=bool)

    def add(self, index: int, found: FrameTracks) -> None:
        """Takes the points of one frame.

        Raises:
            _RunStopped: `progress` raised, and what was finished is kept; otherwise its exception passes.
        """
        found = hide_filled(self._sequence, index, found)
        self._positions[index], self._confidence[index] = found.positions_px, found.confidence
        self._visible[index] = found.visible
        self._done += 1
        if self._on_frame is not None:
            self._on_frame(index, found)
        self.report(self._done, self._query.reached_count, f"frame {index}")

    def report(self, done: int, total: int, message: str) -> None:
        """Reports progress, which never goes back: a whole-clip tracker reports frames before they are finished.

        Raises:
            _RunStopped: see `add`.
        """
        self._reported = max(self._reported, done)
        try:
            self._progress(self._reported, total, message)
        except Exception as error:
            if not self._keep_partial:
                raise
            raise _RunStopped from error

    def tracks(self, model: str = "", notes: Sequence[str] = ()) -> PointTracks:
        """The points of all frames so far, NaN elsewhere."""
        return PointTracks(
            positions_px=self._positions,
            confidence=self._confidence,
            visible=self._visible,
            labels=self._query.labels,
            query_frame=self._query.frame,
            times_s=self._sequence.times_s,
            spacing_mm=self._sequence.spacing_mm,
            model=model,
            notes=tuple(notes),
        )


def run_query(
    sequence: ImageSequence,
    create_tracker: Callable[[], OnlineTracker],
    query: PointQuery,
    *,
    model: str = "",
    progress: Progress = no_progress,
    on_frame: OnFrame | None = None,
    keep_partial: bool = False,
    on_cut: Callable[[int], None] | None = None,
) -> PointTracks:
    """Follows the points of a query with an online tracker; the other arguments are those of its collector.

    Args:
        on_cut: called at the end with the first frame after each cut, see `CutWatchedTracker`.
    """
    collector = _TrackCollector(sequence, query, progress=progress, on_frame=on_frame, keep_partial=keep_partial)
    watched: list[CutWatchedTracker] = []

    def create_watched() -> CutWatchedTracker:
        watched.append(CutWatchedTracker(create_tracker()))
        return watched[-1]

    with suppress(_RunStopped):
        for index, found in stream_tracks(sequence, create_watched, query):
            collector.add(index, found)
    cuts = [
        query.frame + step * one.cut_after
        for step, one in zip(query.steps, watched, strict=False)  # a run may be stopped before its second step
        if one.cut_after is not None
    ]
    if on_cut is not None:
        for frame in cuts:
            on_cut(frame)
    return collector.tracks(model, [_cut_note(frame) for frame in cuts])


def _cut_note(frame: int) -> str:
    """Returns a note for the user on a cut, seen on the first frame after it."""
    return (
        f"frame {frame}: the picture becomes another at once (a cut, another view, depth or probe position); beyond it"
        " points are visible only when the picture is again that of the query frame"
    )


def run_clip_query(
    sequence: ImageSequence,
    create_tracker: Callable[[], ClipTracker | AnyFrameTracker],
    query: PointQuery,
    *,
    model: str = "",
    progress: Progress = no_progress,
    on_frame: OnFrame | None = None,
    keep_partial: bool = False,
) -> PointTracks:
    """Follows the points of a query with a whole-clip tracker; the result's notes say where it took windows."""
    collector = _TrackCollector(sequence, query, progress=progress, on_frame=on_frame, keep_partial=keep_partial)
    notes: tuple[str, ...] = ()
    with suppress(_RunStopped):
        notes = track_clip(sequence, create_tracker, query, collector.add, collector.report)
    return collector.tracks(model, notes)


def run_tracker(
    sequence: ImageSequence,
    create_tracker: Callable[[], OnlineTracker],
    query_points: np.ndarray,
    *,
    labels: Sequence[str] | None = None,
    query_frame: int = 0,
    direction: str = "both",
    **options: object,
) -> PointTracks:
    """Follows points with a tracker that is not in the registry.

    Args:
        query_points, labels, query_frame, direction: see `PointQuery.on`.
        options: of `run_query`.

    Raises:
        InputError: see `PointQuery.on`.
    """
    query = PointQuery.on(sequence, query_points, labels=labels, frame=query_frame, direction=direction)
    return run_query(sequence, create_tracker, query, **options)  # type: ignore[arg-type]
