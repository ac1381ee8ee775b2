"""Training clips of users' own trajectories: divided by patients, in memory as the phantoms' clips are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.grey_range import grey_range
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.training.data.training_clip import TrainingClip
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.files.trajectory_set import TrajectorySet, read_trajectory_set
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


@dataclass(frozen=True)
class ValidationClip:
    """A clip with known trajectories, which a training never sees.

    Attributes:
        groups: in which its accuracy counts, by the names that validations report.
        sequence: the frames.
        truth: the trajectories that are visible on the query frame.
    """

    groups: tuple[str, ...]
    sequence: ImageSequence
    truth: PointTracks


@dataclass(frozen=True)
class TrajectoryClips:
    """Clips to learn from, and those of the patients held out.

    Attributes:
        clips: to learn from.
        held_out: of other patients.
        summary: one line for the card of the weights.
        digest: of the clips' names and of the patients held out: two runs that learn from the same have the same.
    """

    clips: tuple[TrainingClip, ...]
    held_out: tuple[ValidationClip, ...]
    summary: str
    digest: int

    def joined(self, other: TrajectoryClips) -> TrajectoryClips:
        """Returns the clips of both."""
        return TrajectoryClips(
            self.clips + other.clips,
            self.held_out + other.held_out,
            f"{self.summary}; {other.summary}",
            crc32(f"{self.digest} {other.digest}".encode()),
        )


def read_trajectory_clips(
    folders: Sequence[Path], held_out_share: float, seed: int, *, progress: Progress = no_progress
) -> TrajectoryClips:
    """Reads the clips of sets of trajectories, each divided by its patients.

    Args:
        folders: see `read_trajectory_set`.
        held_out_share: part of each set's patients that is held out.
        seed: of the draw of the patients.

    Raises:
        InputError: a set, a clip or a table that cannot be used; sets that share a name; no clip in which two frames
            show a point.
    """
    sets = [read_trajectory_set(folder) for folder in folders]
    divided = [one.split(held_out_share, seed) for one in sets]
    total, done = sum(len(one.cases) for one in sets), 0
    clips: list[TrainingClip] = []
    held_out: list[ValidationClip] = []
    for learning, held in divided:
        for part, out in ((learning, False), (held, True)):
            for case in part.cases:
                progress(done, total, case.name)
                sequence, truth = case.read()
                if out:
                    held_out.append(_validation_clip(part, sequence, truth, str(case.tracks)))
                else:
                    clips.append(_training_clip(sequence, truth, case.name))
                done += 1
    if not any((clip.visible.sum(axis=0) >= 2).any() for clip in clips):
        raise InputError(f"{folders[0]}: no clip has a trajectory that is visible on two frames")
    patients = sum(len(learning.patients) for learning, _ in divided)
    patients_out = sum(len(held.patients) for _, held in divided)
    known = [[case.name for case in part.cases] for parts in divided for part in parts]
    return TrajectoryClips(
        tuple(clips),
        tuple(held_out),
        f"{len(clips)} real clips with trajectories, of {patients} patients ({patients_out} patients held out) of "
        f"{', '.join(one.name for one in sets)}",
        crc32(json.dumps(known).encode()),
    )


def _training_clip(sequence: ImageSequence, truth: PointTracks, name: str) -> TrainingClip:
    frames = np.stack([sequence.frame(index) for index in range(len(sequence))])
    if np.dtype(sequence.frames.dtype) != np.uint8:
        low, high = grey_range(sequence)
        frames = (frames - low) * (255 / (high - low))
    known = np.isfinite(truth.positions_px).all(axis=2)
    return TrainingClip(
        np.clip(np.rint(frames), 0, 255).astype(np.uint8),
        np.where(known[..., None], truth.positions_px, 0.0).astype(np.float32),
        truth.visible & known,
        name,
    )


def _validation_clip(part: TrajectorySet, sequence: ImageSequence, truth: PointTracks, name: str) -> ValidationClip:
    from UltrasoundMotionLib.evaluation.tracker_runs import truth_from

    return ValidationClip((part.name,), sequence, truth_from(truth, truth.query_frame, name))
