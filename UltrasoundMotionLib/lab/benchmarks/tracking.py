"""`benchmark tracking`: trackers, ours and OpenCV's, on the same phantoms in one run."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_report import TrackReport, report_tracks
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_output_arguments,
    add_phantom_arguments,
    add_tracker_arguments,
    check_arguments,
    chosen_trackers,
    show,
    thread_count,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column, Target
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker, run_timed
from UltrasoundMotionLib.lab.phantom_cases import (
    EVALUATION_SEED,
    HARDER_HALF,
    HARDER_HALF_NAME,
    MOST_POINTS,
    BenchmarkCase,
    phantom_cases,
)
from UltrasoundMotionLib.progress import Progress, no_progress

DESCRIPTION = f"""Simulates beating hearts and breathing livers of graded difficulty and follows their tissue with every
tracker. Pixel errors are those of images resized to 256 x 256. Seeds from {EVALUATION_SEED} on are kept for this;
nothing is tuned on them."""

DIS_FROM_QUERY_FRAME = "opencv-dis"
"""The peer that our trackers are to beat, and by default the one that all are compared with."""


@dataclass(frozen=True)
class TrackingRow:
    """Results of one tracker in one group of phantoms."""

    kind: str
    difficulty: str
    tracker: str
    ours: bool
    report: TrackReport

    @property
    def group(self) -> str:
        """Kind and difficulty."""
        return f"{self.kind} {self.difficulty}"

    @property
    def lost(self) -> str:
        """Points lost for good, of all."""
        return f"{self.report.pooled.lost_count}/{self.report.pooled.point_count}"

    @property
    def range(self) -> str:
        """Least and greatest delta_avg of a sequence."""
        spread = self.report.spread["delta_avg"]
        return f"{spread.min:.3f}-{spread.max:.3f}"

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        names = {"kind": self.kind, "difficulty": self.difficulty, "tracker": self.tracker, "ours": self.ours}
        return {**names, **self.report.as_dict()}


COLUMNS: tuple[Column[TrackingRow], ...] = (
    Column("phantoms", lambda row: f"{row.group} ({len(row.report.sequences)})"),
    Column("tracker", "tracker", names_method=True),
    Column("delta_avg", "report.pooled.delta_avg"),
    Column("std", lambda row: row.report.spread["delta_avg"].std),
    Column("min-max", "range"),
    Column("MTE", "report.pooled.median_trajectory_error_px", 2, unit="px"),
    Column("TE mean", "report.pooled.tracking_error.mean", 2),
    Column("TE 95th", "report.pooled.tracking_error.percentile_95", 2),
    Column("unit", "report.unit"),
    Column("lost", "lost"),
    Column("OA", "report.pooled.occlusion_accuracy"),
    Column("AJ", "report.pooled.average_jaccard"),
    Column("fps", "report.pooled.frames_per_second", 1),
)
CASES: CaseMeasure[TrackingRow] = CaseMeasure(
    "delta_avg",
    values=lambda row: {one.name: one.delta_avg for one in row.report.sequences},
    method=lambda row: row.tracker,
    group=lambda row: row.group,
)


def tracking_targets(rows: Sequence[TrackingRow]) -> tuple[Target, ...]:
    """Each of our trackers is to be above DIS from the query frame on the harder half of each kind."""
    harder = [row for row in rows if row.difficulty == HARDER_HALF_NAME]
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


def benchmark_tracking(
    cases: Iterable[BenchmarkCase],
    trackers: Sequence[BenchmarkTracker],
    *,
    case_count: int = 0,
    threads: int = 1,
    progress: Progress = no_progress,
) -> BenchmarkResult[TrackingRow]:
    """Runs every tracker on every case, one case in memory at a time.

    Pixel errors are those of images resized to 256 x 256, as TAP-Vid's thresholds ask; errors in mm are in the
    phantom's own.

    Args:
        case_count: how many cases to expect, for `progress` only.
        threads: for the report only; `benchmark_trackers` sets them.

    Returns:
        A row for each kind and difficulty, and the harder half pooled, tracker by tracker.

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
    rows = tuple(
        TrackingRow(kind, difficulty, name, ours[name], report_tracks(errors[kind, difficulty, name]))
        for kind, difficulty, name in order
    )
    return BenchmarkResult(
        COLUMNS, rows, tracking_targets(rows), {"threads": threads}, cases=CASES, against=DIS_FROM_QUERY_FRAME
    )


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("tracking", help="trackers on phantoms with known motion", description=DESCRIPTION)
    add_phantom_arguments(parser, count=4)
    parser.add_argument(
        "--points",
        metavar="N",
        type=whole_number,
        default=MOST_POINTS,
        help=f"at most so many of a phantom's points (default {MOST_POINTS})",
    )
    add_tracker_arguments(parser)
    add_output_arguments(parser, against=DIS_FROM_QUERY_FRAME)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    chosen = chosen_trackers(arguments)
    cases = phantom_cases(
        arguments.kind, arguments.difficulty, count=arguments.count, seed=arguments.seed, most_points=arguments.points
    )
    case_count = len(arguments.kind) * len(arguments.difficulty) * arguments.count
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_tracking(
            cases, chosen.trackers, case_count=case_count, threads=thread_count(), progress=progress
        )
    print(f"{case_count} phantoms of seed {arguments.seed}, {thread_count()} threads, device {arguments.device}")
    show(result, arguments, chosen.missing)
    return 0
