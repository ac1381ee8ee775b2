"""`benchmark strain`: errors of strain from tracks on phantoms with known strain, its reproducibility, and the truth of
the uncertainty that is stated.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
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
from UltrasoundMotionLib.lab.benchmarks.strain.cases import StrainCase, given_on, strain_cases
from UltrasoundMotionLib.lab.benchmarks.strain.errors import StrainErrors, strain_errors
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column, Target
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker
from UltrasoundMotionLib.lab.benchmarks.tracking import DIS_FROM_QUERY_FRAME
from UltrasoundMotionLib.lab.phantom_cases import EVALUATION_SEED
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.strain import longitudinal_strain
from UltrasoundMotionLib.text_table import format_number
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

DESCRIPTION = f"""Simulates beating hearts of graded difficulty, follows their wall with every tracker, and compares
global and segmental strain (longitudinal, of the mid-wall) with the truth, in percent points. Seeds from
{EVALUATION_SEED} on are kept for this; nothing is tuned on them."""

ALL = "all"
SEGMENT_COUNT = 6
MAE_GOAL, BIAS_GOAL, SEGMENT_GOAL, EXACT_GOAL, REPRODUCIBILITY_GOAL, SPEED_GOAL_MS = 1.0, 0.5, 3.0, 0.1, 1.0, 50.0
SPEED_FRAMES, SPEED_POINTS, SPEED_RUNS = 100, 100, 5


@dataclass(frozen=True)
class StrainRow:
    """Results of one tracker on clips of one difficulty, or on all."""

    difficulty: str
    tracker: str
    clips: tuple[StrainErrors, ...]

    def mean(self, name: str, *, absolute: bool = False) -> float | None:
        """Mean of a number of the clips that have it."""
        values = [getattr(clip, name) for clip in self.clips if getattr(clip, name) is not None]
        return float(np.mean(np.abs(values) if absolute else values)) if values else None

    def deviation(self, name: str) -> float | None:
        """Standard deviation (n - 1) of a number over the clips that have it."""
        values = [getattr(clip, name) for clip in self.clips if getattr(clip, name) is not None]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    @property
    def segment_errors(self) -> np.ndarray:
        """Absolute errors of all accepted segments."""
        return np.abs([error for clip in self.clips for error in clip.segment_errors])

    @property
    def summary(self) -> dict[str, float | int | None]:
        """Every figure of the row by its name."""
        segments = self.segment_errors
        systole = [
            abs(clip.end_systole_error_frames) for clip in self.clips if clip.end_systole_error_frames is not None
        ]
        return {
            "clips": len(self.clips),
            "without_gls": sum(clip.gls_error is None for clip in self.clips),
            "gls_mae": self.mean("gls_error", absolute=True),
            "gls_bias": self.mean("gls_error"),
            "gls_sd": self.deviation("gls_error"),
            "smoothed_gls_mae": self.mean("smoothed_gls_error", absolute=True),
            "smoothed_gls_bias": self.mean("smoothed_gls_error"),
            "segment_mae": float(segments.mean()) if segments.size else None,
            "segments_within_3": float(np.mean(segments <= SEGMENT_GOAL)) if segments.size else None,
            "rejected_segments": sum(clip.rejected_segments for clip in self.clips),
            "end_systole_within_1": float(np.mean(np.array(systole) <= 1)) if systole else None,
            "query_frame_sd": self.mean("query_frame_deviation"),
            "stated_deviation": self.mean("stated_deviation"),
            "coverage_95": self.mean("in_interval"),
            "position_error_mm": self.mean("position_error_mm"),
        }

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        content: dict[str, Any] = {"difficulty": self.difficulty, "tracker": self.tracker, **self.summary}
        return content | ({} if self.difficulty == ALL else {"clips_each": [asdict(clip) for clip in self.clips]})


def _figure(name: str) -> Callable[[StrainRow], float | int | None]:
    return lambda row: row.summary[name]


COLUMNS: tuple[Column[StrainRow], ...] = (
    Column("clips", lambda row: f"{row.difficulty} ({len(row.clips)})"),
    Column("tracker", "tracker", names_method=True),
    Column("GLS MAE", _figure("gls_mae"), 2),
    Column("bias", _figure("gls_bias"), 2),
    Column("SD", _figure("gls_sd"), 2),
    Column("smoothed MAE", _figure("smoothed_gls_mae"), 2),
    Column("bias", _figure("smoothed_gls_bias"), 2),
    Column("segm. MAE", _figure("segment_mae"), 2),
    Column("within 3", _figure("segments_within_3"), 2),
    Column("rejected", lambda row: f"{row.summary['rejected_segments']}/{SEGMENT_COUNT * len(row.clips)}"),
    Column("ES +-1", _figure("end_systole_within_1"), 2),
    Column("query SD", _figure("query_frame_sd"), 2),
    Column("stated SD", _figure("stated_deviation"), 2),
    Column("in 95 %", _figure("coverage_95"), 2),
    Column("tracks", _figure("position_error_mm"), 2, unit="mm"),
)
"""Errors in percent points."""

CASES: CaseMeasure[StrainRow] = CaseMeasure(
    "|GLS error|",
    values=lambda row: {clip.name: abs(clip.gls_error) for clip in row.clips if clip.gls_error is not None},
    method=lambda row: row.tracker,
    group=lambda row: row.difficulty,
    digits=2,
)


def strain_targets(
    rows: Sequence[StrainRow], exact_gls_errors: Sequence[float], computation_ms: float
) -> tuple[Target, ...]:
    """Goals for strain from exact tracks, for the time it takes, and for each tracker over all clips."""
    exact = max(abs(error) for error in exact_gls_errors)
    targets = [
        Target(
            "GLS from exact tracks: largest error",
            f"within {EXACT_GOAL} points",
            f"{exact:.3f}",
            exact <= EXACT_GOAL,
        ),
        Target(
            f"{SPEED_FRAMES} frames, {SPEED_POINTS} points: computation",
            f"under {SPEED_GOAL_MS:g} ms",
            f"{computation_ms:.1f}",
            computation_ms < SPEED_GOAL_MS,
        ),
    ]
    for row in rows:
        if row.difficulty == ALL:
            figures = row.summary
            goals = (
                ("GLS: mean absolute error", f"under {MAE_GOAL} points", figures["gls_mae"], MAE_GOAL),
                ("GLS: bias", f"under {BIAS_GOAL} points", figures["gls_bias"], BIAS_GOAL),
                (
                    "GLS: deviation over query frames",
                    f"under {REPRODUCIBILITY_GOAL} points",
                    figures["query_frame_sd"],
                    REPRODUCIBILITY_GOAL,
                ),
                (
                    "segments' peak: mean absolute error",
                    f"under {SEGMENT_GOAL} points",
                    figures["segment_mae"],
                    SEGMENT_GOAL,
                ),
            )
            for what, goal, value, limit in goals:
                met = value is not None and abs(value) < limit
                targets.append(Target(f"{row.tracker}, {what}", goal, format_number(value, 2), met))
            within = figures["end_systole_within_1"]
            targets.append(
                Target(f"{row.tracker}, end-systole", "within one frame, all", format_number(within, 2), within == 1.0)
            )
    return tuple(targets)


def benchmark_strain(
    cases: Iterable[StrainCase],
    trackers: Sequence[BenchmarkTracker],
    *,
    layer_count: int = 3,
    query_frame_count: int = 4,
    case_count: int = 0,
    threads: int = 1,
    progress: Progress = no_progress,
) -> BenchmarkResult[StrainRow]:
    """Tracks each wall with every tracker, and compares its strain with the truth.

    The contour is the true one on the query frame, every point of it, whether or not that frame shows it, as a reader
    draws it: at end-diastole for the errors, and on `query_frame_count` frames evenly spread over the beat
    (end-diastole first) for reproducibility. Strain is the mid-wall's.

    Args:
        layer_count: 3 tracks inner, middle and outer contour together; 1 the middle one alone.
        case_count: how many cases to expect, for `progress` only.
        threads: for the report only; `benchmark_trackers` sets them.
    """
    errors: dict[tuple[str, str], list[StrainErrors]] = {}
    exact = []
    for done, case in enumerate(cases):
        found = longitudinal_strain(given_on(case, case.end_diastole_frame, 1)).measures.gls_percent
        assert found is not None, "exact tracks have a beat"
        exact.append(found - case.gls_percent)
        for number, tracker in enumerate(trackers):
            progress(done * len(trackers) + number, case_count * len(trackers), f"{case.name}: {tracker.name}")
            measured = strain_errors(case, tracker, layer_count, query_frame_count)
            for difficulty in (case.difficulty, ALL):
                errors.setdefault((difficulty, tracker.name), []).append(measured)
    if not exact:
        raise InputError("no phantom to measure strain on")
    progress(case_count * len(trackers), case_count * len(trackers), "done")
    order = sorted(errors, key=lambda key: key[0] == ALL)
    rows = tuple(StrainRow(difficulty, name, tuple(errors[difficulty, name])) for difficulty, name in order)
    milliseconds = measure_computation_ms()
    details = {
        "layer_count": layer_count,
        "threads": threads,
        "exact_gls_errors": exact,
        "computation_ms": milliseconds,
    }
    targets = strain_targets(rows, exact, milliseconds)
    return BenchmarkResult(COLUMNS, rows, targets, details, cases=CASES, against=DIS_FROM_QUERY_FRAME)


def measure_computation_ms() -> float:
    """Median processor milliseconds to compute strain from 100 frames of 100 points that beat like a heart, uncertainty
    included.
    """
    angle = np.linspace(-1.7, 1.7, SPEED_POINTS)
    contour = np.stack([128 + 45 * np.sin(angle), 190 - 130 * np.cos(angle)], axis=1)
    squeeze = 1 - 0.2 * np.sin(np.pi * np.arange(SPEED_FRAMES) / (SPEED_FRAMES - 1)) ** 2
    positions = np.array([128.0, 190.0]) + squeeze[:, None, None] * (contour - [128.0, 190.0])
    positions += np.random.default_rng(0).normal(0, 0.05, positions.shape)
    shape = positions.shape[:2]
    labels = tuple(f"W{number}" for number in range(SPEED_POINTS))
    times = np.arange(SPEED_FRAMES) / 80
    tracks = PointTracks(positions, np.ones(shape), np.ones(shape, dtype=bool), labels, 0, times, (0.5, 0.5))
    longitudinal_strain(tracks)
    seconds = []
    for _ in range(SPEED_RUNS):
        started = time.process_time()
        longitudinal_strain(tracks)
        seconds.append(time.process_time() - started)
    return 1000 * float(np.median(seconds))


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("strain", help="strain on phantoms with known strain", description=DESCRIPTION)
    add_phantom_arguments(parser, kinds=False, count=3)
    parser.add_argument(
        "--layers",
        type=int,
        choices=(1, 3),
        default=3,
        help="contours that are tracked; strain is the middle one's (default 3)",
    )
    parser.add_argument(
        "--query-frames",
        metavar="N",
        type=whole_number,
        default=4,
        help="frames on which the contour is given in turn (default 4)",
    )
    add_tracker_arguments(parser)
    add_output_arguments(parser, against=DIS_FROM_QUERY_FRAME)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    chosen = chosen_trackers(arguments)
    case_count = len(arguments.difficulty) * arguments.count
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_strain(
            strain_cases(arguments.difficulty, count=arguments.count, seed=arguments.seed),
            chosen.trackers,
            layer_count=arguments.layers,
            query_frame_count=arguments.query_frames,
            case_count=case_count,
            threads=thread_count(),
            progress=progress,
        )
    contours = f"{arguments.layers} contours, {thread_count()} threads, device {arguments.device}"
    print(f"{case_count} hearts of seed {arguments.seed}, {contours}")
    show(result, arguments, chosen.missing)
    return 0
