"""Whole-clip trackers: the contract, and the run over a sequence of any length in overlapping windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.query import PointQuery

_LISTED = 8


@dataclass(frozen=True)
class ClipTracks:
    """Points in all frames of a window: positions_px (T, N, 2) float64, confidence (T, N) in [0, 1], visible (T, N)."""

    positions_px: np.ndarray
    confidence: np.ndarray
    visible: np.ndarray


class ClipTracker(Protocol):
    """Sees a whole clip, or windows of it; each window is a call of its own, and nothing is kept in between.

    The window of a tracker that takes points on its first frame runs away from the query frame, backwards in time too.
    `AnyFrameTracker` takes them on any frame. Either may also have

    - `frames_that_fit(frame_shape, point_count)`, the number of frames (H, W) that its memory holds with so many
      points; the smaller of it and `frames_at_most` counts.
    - `progress`, a `Progress` that is set before each window; the tracker calls it between its steps (chunks of frames,
      iterations) with their number, and passes on what it raises.

    Attributes:
        frames_at_most: number of frames that it can see together, for its memory or its training; at least 2.
    """

    frames_at_most: int

    def track(self, frames: np.ndarray, query_points: np.ndarray) -> ClipTracks:
        """Follows points (N, 2) px given on the first of the frames (T, H, W) float32 into all of them."""
        ...


class AnyFrameTracker(Protocol):
    """A whole-clip tracker that takes points on any frame of a window, which always runs forwards in time.

    Attributes:
        frames_at_most: as `ClipTracker`.
        any_query_frame: True.
    """

    frames_at_most: int
    any_query_frame: bool

    def track(self, frames: np.ndarray, query_points: np.ndarray, query_frames: np.ndarray) -> ClipTracks:
        """Follows points (N, 2) px, each given on its frame (N,) of the window, into all frames (T, H, W) float32."""
        ...


def track_clip(
    sequence: ImageSequence,
    create_tracker: Callable[[], ClipTracker | AnyFrameTracker],
    query: PointQuery,
    emit: Callable[[int, FrameTracks], None],
    progress: Progress = no_progress,
) -> tuple[str, ...]:
    """Follows the points of a query from its frame to both ends of the sequence, or only one way.

    A tracker that takes any query frame sees all frames together where its memory holds them. Otherwise the first
    window lies around the query frame, and further ones, each overlapping the one before by half, go outwards; a point
    is given on the query frame where that is within, else on the last frame of the overlap on which it was visible.

    Other trackers see the frames after the query frame and, reversed, those before it. Each further window begins in
    the second half of the one before, on the last frame on which most points were visible; points that were hidden
    there begin on a frame on which they were not, in a window of their own.

    A point that was visible nowhere in an overlap is lost: it is followed further from a guess, not visible and with
    confidence 0 from there on.

    Args:
        emit: called with each frame's index and points, the query frame first; may raise to stop.
        progress: called between the steps of a tracker that reports them, with the frames done so far and all frames;
            may raise to stop.

    Returns:
        Notes on windows and lost points; empty where each part was seen together.
    """
    run = _ClipRun(sequence, create_tracker(), query, emit, progress)
    if run.any_query_frame:
        run.follow_outwards()
    else:
        for direction in query.steps:
            run.follow_away(query.frames(direction))
    return run.notes()


class _ClipRun:
    """State of `track_clip`: the points that were found so far, in all frames."""

    def __init__(
        self,
        sequence: ImageSequence,
        tracker: Any,
        query: PointQuery,
        emit: Callable[[int, FrameTracks], None],
        progress: Progress,
    ) -> None:
        count = len(query.points_px)
        self.any_query_frame: bool = getattr(tracker, "any_query_frame", False)
        self._sequence, self._tracker, self._query = sequence, tracker, query
        self._emit, self._progress = emit, progress
        self._length = tracker.frames_at_most
        if hasattr(tracker, "frames_that_fit"):
            width, height = sequence.frame_size
            self._length = min(self._length, tracker.frames_that_fit((height, width), count))
        self._length = max(2, self._length)
        self._windows = self._parts = self._done = 0
        self._lost_from: dict[tuple[int, bool], int] = {}
        self._positions = np.full((query.frame_count, count, 2), np.nan)
        self._confidence = np.zeros((query.frame_count, count))
        self._visible = np.zeros((query.frame_count, count), dtype=bool)
        self._keep(query.frame, query.points_px, np.ones(count), np.ones(count, dtype=bool))

    def follow_outwards(self) -> None:
        """Runs a tracker that takes any query frame."""
        query, steps = self._query.frame, self._query.steps
        low, high = 0 if -1 in steps else query, self._query.frame_count - 1 if 1 in steps else query
        if low == high:
            return
        self._parts = 1
        length = min(self._length, high - low + 1)
        first = min(max(query - length // 2, low), high + 1 - length)
        last = first + length - 1
        everywhere = np.full(len(self._query.labels), query)
        self._track_any(first, last, everywhere, [*range(query + 1, last + 1), *range(query - 1, first - 1, -1)])
        overlap = length // 2
        for step, begin, end in ((1, last, high), (-1, first, low)):
            edge = begin
            while edge != end:
                outer = edge + step * min(length - overlap, abs(end - edge))
                inner = outer - step * (length - 1)
                known = np.arange(inner, edge + step, step)
                new = range(edge + step, outer + step, step)
                starts, lost = everywhere, np.zeros(len(everywhere), dtype=bool)
                if query not in known:
                    starts, lost = known[_last_visible(self._visible[known])], self._lost_after(known)
                self._track_any(min(inner, outer), max(inner, outer), starts, new, lost)
                edge = outer

    def follow_away(self, frames: range) -> None:
        """Runs a tracker that takes points on the first frame, through frames of which the first is the query frame."""
        self._parts += len(frames) > 1
        edge, overlap = 0, 1  # place of the last frame that is known; number of frames that a window may begin on
        while edge < len(frames) - 1:
            known = np.array(frames[max(0, edge - overlap + 1) : edge + 1])
            places, lost = _common_starts(self._visible[known]), self._lost_after(known)
            groups = np.unique(places)
            begins = edge - len(known) + 1 + groups
            end = min(int(begins.min()) + self._length, len(frames))
            found = ClipTracks(*self._empty(end - edge - 1))
            for number, (place, begin) in enumerate(zip(groups, begins, strict=True)):
                inside = places == place
                window = frames[begin : begin + self._length]
                tracks = self._call(
                    window, (self._positions[window[0], inside],), (end - edge - 1, number, len(groups))
                )
                new = slice(edge + 1 - begin, end - begin)
                found.positions_px[:, inside] = tracks.positions_px[new]
                found.confidence[:, inside] = tracks.confidence[new]
                found.visible[:, inside] = tracks.visible[new]
            self._keep_all(frames[edge + 1 : end], found, lost)
            edge, overlap = end - 1, max(1, self._length // 2)

    def notes(self) -> tuple[str, ...]:
        """Returns notes for the user on windows and lost points."""
        notes = []
        if self._windows > self._parts:
            points = len(self._query.labels)
            notes.append(
                f"the clip is longer than the tracker's memory, {self._length} frames with {points} point"
                f"{'' if points == 1 else 's'}: it was tracked in {self._windows} overlapping windows"
            )
        if self._lost_from:
            lost = [
                f"{self._query.labels[point]} {'from' if later else 'up to'} frame {frame}"
                for (point, later), frame in self._lost_from.items()
            ]
            more = f" and {len(lost) - _LISTED} more" if len(lost) > _LISTED else ""
            notes.append(
                f"hidden where two windows overlap, so followed from a guess: {', '.join(lost[:_LISTED])}{more}"
            )
        return tuple(notes)

    def _track_any(
        self, first: int, last: int, starts: np.ndarray, new: Sequence[int], lost: np.ndarray | None = None
    ) -> None:
        """Tracks a window of frames `first` to `last`, each point from its start (N,), and keeps the new frames."""
        points = self._positions[starts, np.arange(len(starts))]
        found = self._call(range(first, last + 1), (points, starts - first), (len(new), 0, 1))
        places = np.array(new) - first
        inside = ClipTracks(found.positions_px[places], found.confidence[places], found.visible[places])
        self._keep_all(new, inside, np.zeros(len(starts), dtype=bool) if lost is None else lost)

    def _call(self, window: Sequence[int], given: tuple[np.ndarray, ...], share: tuple[int, int, int]) -> ClipTracks:
        """Calls the tracker on a window; its progress is that of part k of n of so many new frames."""
        self._windows += 1
        new, part, parts = share
        done, total = self._done, self._query.reached_count

        def report(step: int, steps: int, message: str) -> None:
            fraction = (part + step / max(steps, 1)) / parts
            frames = f"frames {min(window)} to {max(window)}"
            self._progress(done + int(new * fraction), total, f"{frames}, {message}")

        if hasattr(self._tracker, "progress"):
            self._tracker.progress = report
        return self._tracker.track(np.stack([self._sequence.frame(index) for index in window]), *given)

    def _lost_after(self, known: np.ndarray) -> np.ndarray:
        """Finds the points (N,) that were visible on none of the known frames, the outermost last, and notes them."""
        lost = ~self._visible[known].any(axis=0)
        later = int(known[-1]) > self._query.frame
        for point in np.flatnonzero(lost).tolist():
            self._lost_from.setdefault((point, later), int(known[-1]) + (1 if later else -1))
        return lost

    def _keep_all(self, frames: Sequence[int], found: ClipTracks, lost: np.ndarray) -> None:
        """Keeps new frames (K) with their points; those that are lost (N,) are hidden and have confidence 0."""
        visible = np.asarray(found.visible, dtype=bool) & ~lost
        confidence = np.where(lost, 0.0, found.confidence)
        for place, index in enumerate(frames):
            self._keep(index, found.positions_px[place], confidence[place], visible[place])

    def _keep(self, index: int, positions: np.ndarray, confidence: np.ndarray, visible: np.ndarray) -> None:
        self._positions[index], self._confidence[index], self._visible[index] = positions, confidence, visible
        self._done += 1
        self._emit(index, FrameTracks(self._positions[index], self._confidence[index], self._visible[index]))

    def _empty(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        shape = (count, len(self._query.labels))
        return np.zeros((*shape, 2)), np.zeros(shape), np.zeros(shape, dtype=bool)


def _last_visible(visible: np.ndarray) -> np.ndarray:
    """Returns the last place (N,) at which a point of (K, N) is visible; the last of all where it never is."""
    return len(visible) - 1 - np.argmax(visible[::-1], axis=0)


def _common_starts(visible: np.ndarray) -> np.ndarray:
    """Returns a place (N,) of (K, N) at which each point is visible, with few different places.

    The last place at which the most points are visible serves them, and so on with the others. Points that are visible
    nowhere take the first of these places.
    """
    starts = np.full(visible.shape[1], -1)
    left = visible.any(axis=0)
    first = None
    while left.any():
        counts = visible[:, left].sum(axis=1)
        place = len(counts) - 1 - int(np.argmax(counts[::-1]))
        first = place if first is None else first
        starts[left & visible[place]] = place
        left &= ~visible[place]
    starts[starts < 0] = len(visible) - 1 if first is None else first
    return starts
