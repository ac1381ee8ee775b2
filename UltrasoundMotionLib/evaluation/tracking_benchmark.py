"""Trackers, ours and OpenCV's, on the same phantoms in one run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from UltrasoundMotionLib.evaluation.benchmark_trackers import DIS_FROM_QUERY_FRAME, BenchmarkTracker, run_timed
from UltrasoundMotionLib.evaluation.target import Target
from UltrasoundMotionLib.evaluation.text_table import format_number, markdown_table, text_table
from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_report import TrackReport, report_tracks
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracks.point_tracks import PointTracks

EVALUATION_SEED = 9000
"""Phantoms with seeds from here on serve evaluation only. Whoever tunes a tracker or trains a network uses seeds below it."""

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
        header = ["phantoms", "tracker", "delta_avg", "std", "min-max", "MTE px", "TE mean", "TE 95th", "unit", "lost", "OA", "AJ", "fps"]
        rows = []
        for row in self.rows:
            pooled, spread = row.report.pooled, row.report.spread["delta_avg"]
            numbers = (pooled.median_trajectory_error_px, pooled.tracking_error.mean, pooled.tracking_error.percentile_95)
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
                {"kind": row.kind, "difficulty": row.difficulty, "tracker": row.tracker, "ours": row.ours, **row.report.as_dict()}
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
) -> Iterator[BenchmarkCase]:
    """Simulates one phantom after the other: `count` of each kind and difficulty, with seeds `seed`, `seed` + 1, ...

    The points are the phantom's own; those that its query frame hides are left out.
    """
    from UltrasoundMotionLib.simulation import phantom_set

    for kind in kinds:
        for difficulty in difficulties:
            for number, simulated in enumerate(phantom_set(kind, difficulty, count, seed)):
                yield BenchmarkCase(
                    kind, difficulty, f"{kind} {difficulty} {seed + number}", simulated.sequence, simulated.truth_from(simulated.truth.query_frame)
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

    Pixel errors are those of images resized to 256 x 256, as TAP-Vid's thresholds ask; errors in mm are in the phantom's own.

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
            compared = compare_tracks(tracks, case.truth, name=case.name, rescale_from=case.sequence.frame_size, frames_per_second=rate)
            errors.setdefault((case.kind, case.difficulty, tracker.name), []).append(compared)
            if case.difficulty in HARDER_HALF:
                errors.setdefault((case.kind, HARDER_HALF_NAME, tracker.name), []).append(compared)
    progress(case_count * len(trackers), case_count * len(trackers), "done")
    ours = {tracker.name: tracker.ours for tracker in trackers}
    order = sorted(errors, key=lambda key: (key[0], key[1] == HARDER_HALF_NAME))
    rows = (BenchmarkRow(kind, difficulty, name, ours[name], report_tracks(errors[kind, difficulty, name])) for kind, difficulty, name in order)
    return TrackingBenchmark(tuple(rows), threads)
