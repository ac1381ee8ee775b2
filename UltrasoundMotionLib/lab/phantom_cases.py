"""Simulated hearts and livers with exact truth, for the benchmarks of trackers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

EVALUATION_SEED = 9000
"""Phantom sets with this seed or a greater one serve evaluation only.

Whoever tunes a tracker or trains a network uses seeds below it.
"""

MOST_POINTS = 24
"""Number of a phantom's points that are kept, evenly chosen, so that CSRT, which takes them one by one, is done within
minutes.
"""

KINDS = ("heart", "liver")
DIFFICULTIES = ("easy", "moderate", "hard", "extreme")
HARDER_HALF = ("hard", "extreme")
HARDER_HALF_NAME = "harder half"


@dataclass(frozen=True)
class BenchmarkCase:
    """One sequence with exact truth, and the group that it is reported in."""

    kind: str
    difficulty: str
    name: str
    sequence: ImageSequence
    truth: PointTracks

    @property
    def group(self) -> str:
        """Kind and difficulty."""
        return f"{self.kind} {self.difficulty}".strip()


def phantom_cases(
    kinds: Sequence[str] = KINDS,
    difficulties: Sequence[str] = DIFFICULTIES,
    *,
    count: int = 4,
    seed: int = EVALUATION_SEED,
    most_points: int = MOST_POINTS,
) -> Iterator[BenchmarkCase]:
    """Simulates one phantom after the other: `count` of each kind and difficulty, of the set with that seed.

    The points are the phantom's own, evenly thinned; those that its query frame hides are left out.

    Raises:
        InputError: see `phantom_set`.
    """
    from UltrasoundMotionLib.simulation import phantom_set

    for kind in kinds:
        for difficulty in difficulties:
            for phantom in phantom_set(kind, difficulty, count, seed):
                simulated = phantom.simulate()
                truth = thin_points(simulated.truth_from(simulated.truth.query_frame), most_points)
                yield BenchmarkCase(kind, difficulty, phantom.name, simulated.sequence, truth)


def thin_points(tracks: PointTracks, most_points: int) -> PointTracks:
    """Keeps at most that many of the points, evenly spaced in their order."""
    point_count = len(tracks.labels)
    kept = np.unique(np.linspace(0, point_count - 1, min(most_points, point_count)).round().astype(int))
    return choose_points(tracks, kept)


def choose_points(tracks: PointTracks, chosen: Sequence[int] | np.ndarray) -> PointTracks:
    """Keeps the points with these indices, in this order."""
    return replace(
        tracks,
        positions_px=tracks.positions_px[:, chosen],
        confidence=tracks.confidence[:, chosen],
        visible=tracks.visible[:, chosen],
        labels=tuple(tracks.labels[index] for index in chosen),
    )
