"""Points followed through a sequence: a request is prepared once, then run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np

from UltrasoundMotionLib.device import choose_device, device_note
from UltrasoundMotionLib.errors import InputError, OptionError
from UltrasoundMotionLib.images.given_images import SequenceLike, as_sequence
from UltrasoundMotionLib.images.grey_range import in_usual_range
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.settings import takes_request
from UltrasoundMotionLib.tracking.filled_pixels import hide_filled_tracks, on_filled
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks, OnlineTracker
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.query_frame import choose_query_frame
from UltrasoundMotionLib.tracking.registry import TrackerEntry, find_tracker
from UltrasoundMotionLib.tracking.request import AUTO, TrackRequest
from UltrasoundMotionLib.tracking.run import run_clip_query, run_query
from UltrasoundMotionLib.tracking.wrappers import wrapped_tracker
from UltrasoundMotionLib.tracking.wrappers.offline_tracks import track_offline

_LISTED = 8


@takes_request(TrackRequest)
def track_points(
    sequence: SequenceLike,
    query_points: np.ndarray,
    *,
    labels: Sequence[str] | None = None,
    progress: Progress = no_progress,
    on_frame: Callable[[int, FrameTracks], None] | None = None,
    keep_partial: bool = False,
    request: TrackRequest,
) -> PointTracks:
    """Follows points given on one frame through all the others, forwards and backwards.

    Args:
        sequence: an `ImageSequence`, a path, an array (T, H, W) or a SimpleITK image (x, y, time); see `as_sequence`.
        query_points: (N, 2), (x, y) in pixels, origin at the centre of the first pixel.
        labels: N different names; P1, P2 ... when None.
        progress: called after each frame; raising from it stops the call.
        on_frame: called with each frame's index and points as soon as they are found, before `progress`.
        keep_partial: when `progress` raises, return what was finished (NaN elsewhere) rather than pass the exception
            on.
        request: the options; each can be given by name instead, as in `track_points(..., query_frame=16)`.

    Returns:
        The points in all T frames, with the tracker's name and notes for the user.

    Raises:
        InputError: a sequence of one frame, points outside the image, an unknown tracker, frame, device or setting.
    """
    prepared = prepare_tracking(sequence, query_points, labels=labels, request=request)
    return prepared.track(progress=progress, on_frame=on_frame, keep_partial=keep_partial)


@takes_request(TrackRequest)
def track_landmarks(
    sequence: SequenceLike, query_points: np.ndarray, *, request: TrackRequest, **keywords: object
) -> PointTracks:
    """Follows single landmarks through a sequence: `track_points`, whose default tracker follows landmarks best too.

    Takes the arguments of `track_points`.
    """
    return track_points(sequence, query_points, request=request, **keywords)


@dataclass(frozen=True, eq=False)
class PreparedTracking:
    """A request that has been checked against its sequence, ready to run.

    Attributes:
        sequence: the frames to track on, graphics hidden where the request says so.
        query: the points.
        entry: the tracker.
        device: PyTorch device.
        request: as it was given.
        notes: for the user, one line each.
    """

    sequence: ImageSequence
    query: PointQuery
    entry: TrackerEntry
    device: str
    request: TrackRequest
    notes: tuple[str, ...]

    def track(
        self,
        *,
        progress: Progress = no_progress,
        on_frame: Callable[[int, FrameTracks], None] | None = None,
        keep_partial: bool = False,
    ) -> PointTracks:
        """Follows the points; arguments and errors as `track_points`."""
        whole_clip = partial(run_clip_query, judged=True)
        run = track_offline if self.request.offline else run_query if self.entry.online else whole_clip
        tracks = run(
            self.sequence,
            self._make_tracker,
            self.query,
            model=self.entry.name,
            progress=progress,
            on_frame=on_frame,
            keep_partial=keep_partial,
        )
        tracks = hide_filled_tracks(self.sequence, tracks)
        return replace(tracks, notes=(*self.notes, *tracks.notes))

    def _make_tracker(self) -> Any:
        request = self.request
        tracker = self.entry.make(self.device, settings=request.settings, weights=request.weights)
        if not self.entry.online:
            return tracker
        return wrapped_tracker(
            cast(OnlineTracker, tracker), watch_shadows=request.watch_shadows, ahead_frames=request.ahead_frames
        )


def prepare_tracking(
    sequence: SequenceLike,
    query_points: np.ndarray,
    *,
    labels: Sequence[str] | None = None,
    request: TrackRequest,
) -> PreparedTracking:
    """Checks a request against its sequence, hides the scanner's graphics and chooses frame and device.

    Raises:
        InputError: see `track_points`.
    """
    sequence = as_sequence(sequence)
    if len(sequence) < 2:
        raise InputError(f"{sequence.path or sequence.name}: has one frame; there is nothing to follow points through")
    entry = find_tracker(request.model)
    entry.check_installed(request.weights)
    if not entry.online:
        for name in ("watch_shadows", "offline", "ahead_frames"):
            if getattr(request, name):
                raise OptionError(name, f"{entry.name} sees the whole clip at once; leave it out")
    if request.ahead_frames >= len(sequence):
        raise OptionError(
            "ahead_frames", f"{request.ahead_frames} frames ahead, but the clip has {len(sequence)}; give fewer"
        )
    frame = 0 if request.query_frame == AUTO else int(request.query_frame)
    query = PointQuery.on(sequence, query_points, labels=labels, frame=frame, direction=request.direction)
    entry.settings_from(request.settings)
    device = choose_device(request.device, supported=entry.devices, name=entry.name)
    notes = [note for note in (device_note(request.device, supported=entry.devices, name=entry.name),) if note]
    tissue = in_usual_range(sequence)
    notes += tissue.notes[len(sequence.notes) :]
    sequence = tissue
    if request.hide_graphics:
        tissue, more = _hide_graphics(sequence, query)
        notes += more
    if request.query_frame == AUTO:
        choice = choose_query_frame(tissue)
        query = replace(query, frame=choice.frame)
        notes.append(f"query frame {choice.frame} chosen: {choice.reason}; the points are taken to lie on it")
    return PreparedTracking(tissue, query, entry, device, request, tuple(notes))


def _hide_graphics(sequence: ImageSequence, query: PointQuery) -> tuple[ImageSequence, list[str]]:
    """The sequence without what the scanner drew on it, and notes.

    A tracker that sees a ruler or a trace beside its point follows that, and it stands still.
    """
    from UltrasoundMotionLib.images.graphics_mask import without_graphics

    try:
        tissue = without_graphics(sequence)
    except InputError:  # everything was taken for graphics: nothing can be told
        return sequence, []
    notes = list(tissue.notes[len(sequence.notes) :])
    hidden = on_filled(tissue, query.frame, query.points_px)
    covered = [label for label, on in zip(query.labels, hidden, strict=True) if on]
    if covered:
        more = f" and {len(covered) - _LISTED} more" if len(covered) > _LISTED else ""
        notes.append(
            f"{', '.join(covered[:_LISTED])}{more} on what seems drawn by the scanner, not tissue: not visible while "
            "there; if it is tissue, add --keep-graphics"
        )
    return tissue, notes
