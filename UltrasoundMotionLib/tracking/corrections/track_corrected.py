"""Points that a user corrected on several frames, followed both ways from each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.errors import OptionError
from UltrasoundMotionLib.images.image_sequence import FilledFrameSource, FrameSource, ImageSequence
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.settings import takes_request
from UltrasoundMotionLib.tracking.corrections.corrections import CorrectedFrames, Correction
from UltrasoundMotionLib.tracking.corrections.fusion import FusionConfig, Pass, fuse_passes
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.request import AUTO, TrackRequest
from UltrasoundMotionLib.tracking.track import prepare_tracking


@dataclass(frozen=True, eq=False)
class CorrectedTracks:
    """Tracks through corrected frames.

    Attributes:
        tracks: of all points in all frames; the query frame is the one with the most corrections.
        corrected: (T, N) bool, where a point was placed by the user: the track goes exactly through there.
        lost: (T, N) bool, where the user marked it as lost: not visible, confidence 0, position a guess.
        disagreement_px: (T, N) distance of the forward and the backward track; NaN where there is only one.
    """

    tracks: PointTracks
    corrected: np.ndarray
    lost: np.ndarray
    disagreement_px: np.ndarray


@takes_request(TrackRequest)
def track_corrected(
    sequence: ImageSequence,
    corrections: Iterable[Correction] | CorrectedFrames,
    *,
    labels: Sequence[str] | None = None,
    config: FusionConfig | None = None,
    progress: Progress = no_progress,
    request: TrackRequest,
) -> CorrectedTracks:
    """Follows points through the frames on which a user placed them.

    Between two such frames of a point, its track is the fusion of the forward track from the one and the backward track
    from the other (`fuse_passes`); before the first it is the backward track, after the last the forward track. Each
    point may have its own frames. Points that were placed on the same frame are followed together.

    Args:
        corrections: of all points, in any order; the points as they were first placed are corrections too.
        labels: the points, in the order of the result; those of the corrections when None.
        progress: called after each frame of each run; raising from it stops the call, and nothing is returned.
        request: the tracker and its options; `query_frame` is not used, since corrections name their frames.

    Raises:
        InputError: see `CorrectedFrames.on` and `track_points`; an option that cannot be had with corrections.
    """
    frames = corrections if isinstance(corrections, CorrectedFrames) else None
    if frames is None:
        frames = CorrectedFrames.on(sequence, corrections, labels=labels)
    return track_passes(sequence, frames, progress=progress, request=request).fused(config)


@dataclass(frozen=True, eq=False)
class TrackedPasses:
    """Tracks of both directions through corrected frames, before they are fused.

    Attributes:
        sequence: as it was given.
        frames: the corrections.
        forward, backward: from each correction of a point to its next one, or to the end of the sequence.
        model: name of the tracker.
        notes: for the user, one line each.
    """

    sequence: ImageSequence
    frames: CorrectedFrames
    forward: Pass
    backward: Pass
    model: str
    notes: tuple[str, ...]

    def fused(self, config: FusionConfig | None = None) -> CorrectedTracks:
        """Fuses them."""
        frames, sequence = self.frames, self.sequence
        unit = max(sequence.frame_size) / 256
        fused = fuse_passes(frames, self.forward, self.backward, unit, config or FusionConfig())
        tracks = PointTracks(
            positions_px=fused.positions_px,
            confidence=fused.confidence,
            visible=fused.visible,
            labels=frames.labels,
            query_frame=int(np.argmax(frames.placed.sum(axis=1))),
            times_s=sequence.times_s,
            spacing_mm=sequence.spacing_mm,
            model=self.model,
            notes=self.notes,
        )
        return CorrectedTracks(tracks, frames.placed, frames.lost, fused.disagreement_px)


def track_passes(
    sequence: ImageSequence, frames: CorrectedFrames, *, progress: Progress = no_progress, request: TrackRequest
) -> TrackedPasses:
    """Follows points both ways from every corrected frame; arguments and errors as `track_corrected`."""
    check_request(request)
    placed = frames.placed
    first = frames.positions_px[np.argmax(placed, axis=0), np.arange(len(frames.labels))]
    prepared = prepare_tracking(sequence, first, labels=frames.labels, request=replace(request, query_frame=0))
    runs = _runs(placed)
    total, done = sum(len(run.frames) for run in runs), 0
    forward, backward = Pass.empty(placed.shape), Pass.empty(placed.shape)
    notes = list(prepared.notes)
    for run in runs:
        part, query = run.query(prepared.sequence, frames)

        found = replace(prepared, sequence=part, query=query, notes=()).track(
            progress=_RunProgress(progress, done, total, run.frame)
        )
        done += len(run.frames)
        notes += [note for note in found.notes if note not in notes]
        run.keep(found, forward if run.step > 0 else backward)
    return TrackedPasses(sequence, frames, forward, backward, prepared.entry.name, tuple(notes))


@dataclass(frozen=True)
class _RunProgress:
    """Progress of one run as a part of all of them: `begun` frames were done before it."""

    progress: Progress
    begun: int
    total: int
    frame: int

    def __call__(self, done: int, total: int, message: str) -> None:
        self.progress(self.begun + done, self.total, f"from corrected frame {self.frame}")


def check_request(request: TrackRequest) -> None:
    """Refuses options that mean nothing where corrections say from where the points are followed.

    Raises:
        OptionError: such an option is set.
    """
    if request.query_frame == AUTO:
        raise OptionError("query_frame", "corrections name their frames; give the frame of the points")
    if request.direction != "both":
        raise OptionError("direction", "corrections are followed both ways; leave it out")
    if request.offline:
        raise OptionError("offline", "corrections are followed both ways and fused already; leave it out")
    if request.ahead_frames:
        raise OptionError("ahead_frames", "corrections are of a clip that is known whole; leave it out")


@dataclass(frozen=True)
class _Run:
    """One run of the tracker.

    Attributes:
        frame: the corrected frame where it starts.
        step: 1 forwards, -1 backwards.
        points: indices of the points.
        ends: for each, the frame up to which it counts: its next corrected frame, or the end of the clip.
    """

    frame: int
    step: int
    points: np.ndarray
    ends: np.ndarray

    @property
    def frames(self) -> range:
        """The frames of the run, the corrected one first."""
        far = int(self.ends.max() if self.step > 0 else self.ends.min())
        return range(self.frame, far + self.step, self.step)

    def query(self, sequence: ImageSequence, frames: CorrectedFrames) -> tuple[ImageSequence, PointQuery]:
        """The part of the sequence to run on, and the points on it."""
        start, stop = min(self.frames[0], self.frames[-1]), max(self.frames[0], self.frames[-1]) + 1
        part = _part(sequence, start, stop)
        query = PointQuery.on(
            part,
            frames.positions_px[self.frame, self.points],
            labels=[frames.labels[point] for point in self.points],
            frame=self.frame - start,
            direction="forward" if self.step > 0 else "backward",
        )
        return part, query

    def keep(self, found: PointTracks, into: Pass) -> None:
        """Writes each point's track, up to the frame where it ends."""
        start = min(self.frames[0], self.frames[-1])
        for column, (point, end) in enumerate(zip(self.points.tolist(), self.ends.tolist(), strict=True)):
            low, high = min(self.frame, end), max(self.frame, end) + 1
            into.positions_px[low:high, point] = found.positions_px[low - start : high - start, column]
            into.confidence[low:high, point] = found.confidence[low - start : high - start, column]
            into.visible[low:high, point] = found.visible[low - start : high - start, column]


def _runs(placed: np.ndarray) -> list[_Run]:
    """The runs that reach every frame both ways from the corrections (T, N)."""
    last = len(placed) - 1
    runs = []
    for frame in np.flatnonzero(placed.any(axis=1)).tolist():
        points = np.flatnonzero(placed[frame])
        for step in (1, -1):
            ends = []
            for point in points:
                others = np.flatnonzero(placed[:, point])
                beyond = others[others > frame] if step > 0 else others[others < frame][::-1]
                ends.append(int(beyond[0]) if len(beyond) else (last if step > 0 else 0))
            run = _Run(frame, step, points, np.array(ends))
            if len(run.frames) > 1:
                runs.append(run)
    return runs


@dataclass(frozen=True)
class _FrameRange:
    """Some consecutive frames of a source."""

    source: FrameSource
    start: int
    stop: int

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.stop - self.start, self.source.shape[1], self.source.shape[2]

    @property
    def dtype(self) -> np.dtype:
        return self.source.dtype

    def __getitem__(self, index: int) -> np.ndarray:
        return self.source[self.start + index]

    def filled(self, index: int) -> np.ndarray:
        """Returns the pixels of frame `index` that were filled, (H, W) bool; see `FilledFrameSource`."""
        if isinstance(self.source, FilledFrameSource):
            return self.source.filled(self.start + index)
        return np.zeros(self.shape[1:], dtype=bool)


def _part(sequence: ImageSequence, start: int, stop: int) -> ImageSequence:
    """The frames [start, stop) of a sequence."""
    times = None if sequence.times_s is None else sequence.times_s[start:stop]
    return replace(sequence, frames=_FrameRange(sequence.frames, start, stop), times_s=times, frame_fields={}, notes=())
