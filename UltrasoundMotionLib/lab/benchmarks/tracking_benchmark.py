"""Trackers, ours and OpenCV's, on the same phantoms in one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_report import TrackReport, report_tracks
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.benchmark_trackers import DIS_FROM_QUERY_FRAME, BenchmarkTracker, run_timed
from UltrasoundMotionLib.lab.benchmarks.target import Target
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

EVALUATION_SEED = 9000
"""Phantom sets with this seed or a greater one serve evaluation only.

Whoever tunes a tracker or trains a network uses seeds below it.
"""

MOST_POINTS = 24
"""Of a phantom's points, as many as this, evenly chosen, so that CSRT, which takes them one by one, is done within
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


@dataclass(frozen=True)
class BenchmarkRow:
    """What one tracker reached in one group."""

    kind: str
    difficulty: str
    tracker: str
    ours: bool
    report: TrackReport


@dataclass(frozen=True)
class TrackingBenchmark:
    """All rows: each kind and difficulty, and the harder half pooled, tracker by tracker."""

    rows: tuple[BenchmarkRow, ...]
    threads: int

    def targets(self) -> tuple[Target, ...]:
        """Whether each of our trackers is above DIS from the query frame on the harder half of each kind."""
        harder = [row for row in self.rows if row.difficulty == HARDER_HALF_NAME]
        reached = {(row.kind, row.tracker): row.report.pooled.delta_avg for row in harder}
        return tuple(
            Target(
                what=f"{row.kind}, {HARDER_HALF_NAME}: mean accuracy of {row.tracker}",
                goal=f"above {DIS_FROM_QUERY_FRAME} ({reached[row.kind, DIS_FROM_QUERY_FRAME]:.3f})",
                measured=f"{row.report.pooled.delta_avg:.3f}",
                met=row.report.pooled.delta_avg > reached[row.kind, DIS_FROM_QUERY_FRAME],
            )
            for row in harder
            if row.ours and (row.kind, DIS_FROM_QUERY_FRAME) in reached
        )

    def table(self, markdown: bool = False) -> str:
        """Pooled measures with the spread of delta_avg over the sequences (standard deviation, least to greatest)."""
        header = [
            "phantoms",
            "tracker",
            "delta_avg",
            "std",
            "min-max",
            "MTE px",
            "TE mean",
            "TE 95th",
            "unit",
            "lost",
            "OA",
            "AJ",
            "fps",
        ]
        rows = []
        for row in self.rows:
            pooled, spread = row.report.pooled, row.report.spread["delta_avg"]
            numbers = (
                pooled.median_trajectory_error_px,
                pooled.tracking_error.mean,
                pooled.tracking_error.percentile_95,
            )
            rows.append(
                [
                    f"{row.kind} {row.difficulty} ({len(row.report.sequences)})",
                    row.tracker,
                    format_number(pooled.delta_avg),
                    format_number(spread.std),
                    f"{spread.min:.3f}-{spread.max:.3f}",
                    *(format_number(number, 2) for number in numbers),
                    row.report.unit,
                    f"{pooled.lost_count}/{pooled.point_count}",
                    format_number(pooled.occlusion_accuracy),
                    format_number(pooled.average_jaccard),
                    format_number(pooled.frames_per_second, 1),
                ]
            )
        return (markdown_table if markdown else text_table)(header, rows)

    def as_dict(self) -> dict:
        """For JSON."""
        return {
            "threads": self.threads,
            "rows": [
                {
                    "kind": row.kind,
                    "difficulty": row.difficulty,
                    "tracker": row.tracker,
                    "ours": row.ours,
                    **row.report.as_dict(),
                }
                for row in self.rows
            ],
            "targets": [vars(target) for target in self.targets()],
        }


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
    """At most that many of the points, evenly spaced in their order."""
    point_count = len(tracks.labels)
    kept = np.unique(np.linspace(0, point_count - 1, min(most_points, point_count)).round().astype(int))
    return replace(
        tracks,
        positions_px=tracks.positions_px[:, kept],
        confidence=tracks.confidence[:, kept],
        visible=tracks.visible[:, kept],
        labels=tuple(tracks.labels[index] for index in kept),
    )


def benchmark_tracking(
    cases: Iterable[BenchmarkCase],
    trackers: Sequence[BenchmarkTracker],
    *,
    case_count: int = 0,
    threads: int = 1,
    progress: Progress = no_progress,
) -> TrackingBenchmark:
    """Runs every tracker on every case, one case in memory at a time.

    Pixel errors are those of images resized to 256 x 256, as TAP-Vid's thresholds ask; errors in mm are in the
    phantom's own.

    Args:
        case_count: how many cases to expect, for `progress` only.
        threads: for the report only; `benchmark_trackers` sets them.

    Raises:
        InputError: see `compare_tracks`.
    """
    errors: dict[tuple[str, str, str], list[TrackErrors]] = {}
    for done, case in enumerate(cases):
        for number, tracker in enumerate(trackers):
            progress(done * len(trackers) + number, case_count * len(trackers), f"{case.name}: {tracker.name}")
            tracks, rate = run_timed(tracker, case.sequence, case.truth)
            compared = compare_tracks(
                tracks, case.truth, name=case.name, rescale_from=case.sequence.frame_size, frames_per_second=rate
            )
            errors.setdefault((case.kind, case.difficulty, tracker.name), []).append(compared)
            if case.difficulty in HARDER_HALF:
                errors.setdefault((case.kind, HARDER_HALF_NAME, tracker.name), []).append(compared)
    progress(case_count * len(trackers), case_count * len(trackers), "done")
    ours = {tracker.name: tracker.ours for tracker in trackers}
    order = sorted(errors, key=lambda key: (key[0], key[1] == HARDER_HALF_NAME))
    rows = (
        BenchmarkRow(kind, difficulty, name, ours[name], report_tracks(errors[kind, difficulty, name]))
        for kind, difficulty, name in order
    )
    return TrackingBenchmark(tuple(rows), threads)
