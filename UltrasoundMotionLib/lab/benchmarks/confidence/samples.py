"""Samples of a clip: the words of a tracker and of the judge of sight on every point, beside the truth."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.hardened_clips import HardClip
from UltrasoundMotionLib.lab.phantom_cases import choose_points
from UltrasoundMotionLib.tracking.filled_pixels import on_filled
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks, stream_tracks
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.registry import TrackerEntry
from UltrasoundMotionLib.tracking.sight.calibration import calibration_of
from UltrasoundMotionLib.tracking.sight.evidence import EVIDENCE
from UltrasoundMotionLib.tracking.sight.picture_watch import PictureState
from UltrasoundMotionLib.tracking.sight.sight_judge import VISIBLE_FROM, WITHIN_PX, SightJudge
from UltrasoundMotionLib.tracking.wrappers.judged_tracker import JudgedTracker

LANDMARKS = 6
DECOYS = ("decoys", "decoys together")


@dataclass(frozen=True, eq=False)
class Samples:
    """One tracker on one clip; all arrays but the names are (T, N) or begin so, without the query frame.

    Attributes:
        clip: of the clip that was made hard.
        kind: what was done to it.
        tracker: name.
        evidence: (T, N, E), NaN where nothing was judged, since the frame showed nothing new or another picture.
        confidence, visible: as users get them.
        error_px: distance from the true place, in pixels of a frame of 256.
        in_sight: the truth: the tissue is in sight.
        hidden: what was done to the clip hides the point.
        ruled: positions that get the confidence 0 by a rule: filled pixels, or the tracker's own 0.
    """

    clip: str
    kind: str
    tracker: str
    evidence: np.ndarray
    confidence: np.ndarray
    visible: np.ndarray
    error_px: np.ndarray
    in_sight: np.ndarray
    hidden: np.ndarray
    ruled: np.ndarray

    @property
    def right(self) -> np.ndarray:
        """(T, N) bool: in sight, and found within 4 pixels."""
        return self.in_sight & (self.error_px <= WITHIN_PX)

    @property
    def judged(self) -> np.ndarray:
        """(T, N) bool: the confidence comes from the evidence."""
        return np.isfinite(self.evidence).all(axis=2) & ~self.ruled

    def judged_anew(self) -> Samples:
        """Returns them with the confidence that the present calibration gives for the same evidence."""
        calibration, judged = calibration_of(self.tracker), self.judged
        confidence = np.zeros_like(self.confidence)
        confidence[judged] = calibration.probability(self.evidence[judged])
        for frame in range(1, len(confidence)):  # a repeated frame has what the one before has
            repeated = ~judged[frame] & (self.confidence[frame] > 0) & ~self.ruled[frame]
            confidence[frame, repeated] = confidence[frame - 1, repeated]
        return replace(self, confidence=confidence, visible=confidence >= VISIBLE_FROM)

    def save(self, path: Path) -> None:
        """Writes them to a file `.npz`."""
        np.savez_compressed(path, **{one.name: getattr(self, one.name) for one in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Samples:
        """Reads them from a file."""
        with np.load(path) as content:
            values: dict[str, Any] = {name: str(content[name]) for name in _NAMES}
            values |= {name: content[name] for name in _ARRAYS}
            return cls(**values)


_NAMES = ("clip", "kind", "tracker")
_ARRAYS = tuple(one.name for one in fields(Samples) if one.name not in _NAMES)


class _RecordingJudge(SightJudge):
    """Keeps the evidence of the last frame, and passes the tracker's own confidence on beside the judged one."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.last: np.ndarray | None = None
        self.ruled: np.ndarray | None = None

    def judge(self, state: PictureState, found: FrameTracks, seen: FrameTracks | None = None) -> FrameTracks:
        """Judges, and keeps the evidence."""
        judged = super().judge(state, found, seen)
        self.last, self.ruled = self.evidence, found.confidence <= 0
        return judged


def collect(clip: HardClip, entry: TrackerEntry, device: str = "cpu") -> Samples:
    """Runs a tracker over a clip, from its first frame on; trackers of landmarks follow six of the points."""
    truth, sequence, hidden = clip.truth, clip.sequence, clip.hidden
    if entry.kind == "landmarks":
        kept = np.unique(np.linspace(0, len(truth.labels) - 1, LANDMARKS).round().astype(int))
        truth, hidden = choose_points(truth, kept), hidden[:, kept]
    return _collect(clip.kind, entry.name, sequence, entry.make(device), truth=truth, hidden=hidden)


def collect_decoys(kind: str, sequence: ImageSequence, truth: PointTracks, seed: int) -> Samples:
    """Judges the truth itself with wrong places in it that a tracker may be sure of: it states the same of all points.

    Args:
        kind: of `DECOYS`: from the second third of the clip on a third of the points is 6 to 60 pixels (of 256) off; or
            in the second third all points together are.
    """
    rng = np.random.default_rng(seed)
    count, points = truth.visible.shape
    unit = max(sequence.frame_size) / 256
    together = kind == DECOYS[1]
    angle, length = rng.uniform(0, 2 * np.pi, (points, 1)), rng.uniform(6, 60, (points, 1)) * unit
    away = np.concatenate([np.cos(angle), np.sin(angle)], axis=1) * length
    away = away[:1] if together else away * (rng.random((points, 1)) < 1 / 3)
    frames = np.arange(count)[:, None, None]
    off = (frames >= count // 3) & (frames < (2 * count // 3 if together else count))
    width, height = sequence.frame_size
    stated = np.clip(truth.positions_px + off * away, 0, [width - 1, height - 1])
    stated = stated + rng.normal(0, 0.5 * unit, stated.shape) * (frames > 0)
    return _collect(kind, "", sequence, _Stated(stated), truth=truth, hidden=np.zeros_like(truth.visible))


class _Stated:
    """A tracker that states given positions (T, N, 2), with the same confidence for all."""

    def __init__(self, positions: np.ndarray) -> None:
        self._positions = iter(positions)
        self._count = positions.shape[1]

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.start`."""
        return self.update(frame)

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.update`."""
        return FrameTracks(next(self._positions), np.full(self._count, 0.9), np.ones(self._count, dtype=bool))


def _collect(
    kind: str, name: str, sequence: ImageSequence, online: Any, *, truth: PointTracks, hidden: np.ndarray
) -> Samples:
    """Runs a tracker on a sequence."""
    count, points = truth.visible.shape
    unit = max(sequence.frame_size) / 256
    query = PointQuery.on(sequence, truth.positions_px[0], frame=0, direction="forward")
    evidence = np.full((count, points, len(EVIDENCE)), np.nan)
    positions = np.zeros((count, points, 2))
    confidence = np.zeros((count, points))
    visible, ruled = np.zeros((2, count, points), dtype=bool)
    judge = _RecordingJudge(name)
    tracker = JudgedTracker(online, judge)
    for index, found in stream_tracks(sequence, lambda: tracker, query):
        positions[index], confidence[index], visible[index] = found.positions_px, found.confidence, found.visible
        ruled[index] = on_filled(sequence, index, found.positions_px)
        if judge.last is not None and judge.ruled is not None:
            evidence[index], judge.last = judge.last, None
            ruled[index] |= judge.ruled
    error = np.linalg.norm(positions - truth.positions_px, axis=2) / unit
    clip = sequence.name.removesuffix(f" {kind}")
    arrays = (evidence, confidence * ~ruled, visible & ~ruled, error, truth.visible, hidden, ruled)
    return Samples(clip, kind, name, *(array[1:] for array in arrays))
