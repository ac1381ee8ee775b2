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
from UltrasoundMotionLib.tracking.sight.judge_tracks import judge_tracks
from UltrasoundMotionLib.tracking.sight.picture_events import picture_notes, shortened
from UltrasoundMotionLib.tracking.sight.sight_judge import SightJudge
from UltrasoundMotionLib.tracking.wrappers.judged_tracker import JudgedTracker

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
    judged: bool = True,
) -> PointTracks:
    """Follows the points of a query with an online tracker; the other arguments are those of its collector.

    Args:
        model: name of the tracker, by which its own confidence is understood.
        judged: False gives the tracker every frame as it is, and leaves its own visibility and confidence.
    """
    collector = _TrackCollector(sequence, query, progress=progress, on_frame=on_frame, keep_partial=keep_partial)
    wrapped: list[JudgedTracker] = []

    def create_judged() -> JudgedTracker:
        wrapped.append(JudgedTracker(create_tracker(), SightJudge(model)))
        return wrapped[-1]

    with suppress(_RunStopped):
        for index, found in stream_tracks(sequence, create_judged if judged else create_tracker, query):
            collector.add(index, found)
    notes: list[str] = []
    for step, one in zip(query.steps, wrapped, strict=False):  # a run may be stopped before its second step
        notes += picture_notes(one.events, frame=query.frame, step=step)
    return collector.tracks(model, shortened(notes))


def run_clip_query(
    sequence: ImageSequence,
    create_tracker: Callable[[], ClipTracker | AnyFrameTracker],
    query: PointQuery,
    *,
    model: str = "",
    progress: Progress = no_progress,
    on_frame: OnFrame | None = None,
    keep_partial: bool = False,
    judged: bool = False,
) -> PointTracks:
    """Follows the points of a query with a whole-clip tracker; the result's notes say where it took windows.

    Args:
        judged: True gives the points the visibility and confidence of `SightJudge`; `on_frame` is then called once more
            for every frame. False leaves the tracker's own.
    """
    collector = _TrackCollector(sequence, query, progress=progress, on_frame=on_frame, keep_partial=keep_partial)
    notes: tuple[str, ...] = ()
    with suppress(_RunStopped):
        notes = track_clip(sequence, create_tracker, query, collector.add, collector.report)
    tracks = collector.tracks(model, notes)
    return judge_tracks(sequence, tracks, query, on_frame) if judged else tracks


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
