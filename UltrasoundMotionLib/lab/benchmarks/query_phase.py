"""`benchmark query-phase`: accuracy of trackers against the phase of the beat on which points are placed.

Azad et al., "Taming Modern Point Tracking for Speckle Tracking Echocardiography via Impartial Motion", Sec. 5.2.2 and
Fig. 8, on phantoms.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import measure_tracks
from UltrasoundMotionLib.lab.benchmarks.command import (
    TUNING_SEED,
    add_output_arguments,
    add_phantom_arguments,
    add_tracker_arguments,
    check_arguments,
    chosen_trackers,
    show,
)
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker, run_timed
from UltrasoundMotionLib.lab.phantom_cases import thin_points
from UltrasoundMotionLib.progress import Progress, no_progress

PHASES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.72, 0.8, 0.9)


@dataclass(frozen=True)
class PhaseRow:
    """A tracker's accuracy when points are placed at one phase (0 end-diastole, 1 the next): over all phantoms, and of
    each.
    """

    tracker: str
    phase: float
    delta_avg: float
    median_trajectory_error_px: float
    by_phantom: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        names = ("tracker", "phase", "delta_avg", "median_trajectory_error_px")
        return {name: getattr(self, name) for name in names}


CASES: CaseMeasure[PhaseRow] = CaseMeasure(
    "delta_avg",
    values=lambda row: row.by_phantom,
    method=lambda row: row.tracker,
    group=lambda row: f"{100 * row.phase:.0f} %",
)


def best_phase(rows: Sequence[PhaseRow], tracker: str) -> float:
    """Returns the phase with the highest accuracy, averaged with that of the phases beside it."""
    own = [row for row in rows if row.tracker == tracker]
    values = np.array([row.delta_avg for row in own])
    smooth = (np.roll(values, 1) + 2 * values + np.roll(values, -1)) / 4
    return own[int(np.argmax(smooth))].phase


def query_phase_result(rows: Sequence[PhaseRow]) -> BenchmarkResult[PhaseRow]:
    """Lays out a line for each phase with mean accuracy and median trajectory error of each tracker, then the best
    phase of each.

    There are no targets: it is a finding.
    """
    trackers = list(dict.fromkeys(row.tracker for row in rows))
    best = {name: best_phase(rows, name) for name in trackers}
    columns: list[Column[dict[str, Any]]] = [Column("query frame at", lambda line: line["at"])]
    for name in trackers:
        columns.append(Column(f"{name} delta_avg", partial(_entry, name=name, place=0)))
        columns.append(Column(f"{name} MTE", partial(_entry, name=name, place=1), 2, unit="px"))
    lines: list[dict[str, Any]] = [
        {"at": f"{100 * phase:.0f} %"}
        | {row.tracker: (row.delta_avg, row.median_trajectory_error_px) for row in rows if row.phase == phase}
        for phase in dict.fromkeys(row.phase for row in rows)
    ]
    lines.append({"at": "best"} | {name: (f"{100 * phase:.0f} %", "") for name, phase in best.items()})
    return BenchmarkResult(columns, tuple(rows), details={"best": best}, cases=CASES, lines=lines)


def _entry(line: dict[str, Any], name: str, place: int) -> Any:
    return line[name][place]


def benchmark_query_phase(
    trackers: Sequence[BenchmarkTracker],
    *,
    difficulties: Sequence[str],
    count: int,
    seed: int,
    phases: Sequence[float] = PHASES,
    most_points: int = 24,
    progress: Progress = no_progress,
) -> BenchmarkResult[PhaseRow]:
    """Follows points of `count` hearts of each difficulty from a frame at each phase, forwards and backwards.

    Each clip is one beat and a little (the phantom's own frame rate, as many frames as that takes), so that every phase
    has as much before as after.

    Raises:
        InputError: a count under 1; see `phantom_set`.
    """
    from UltrasoundMotionLib.simulation import HeartPhantom, phantom_set

    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    errors: dict[tuple[str, float], list[TrackErrors]] = {}
    cases = [case for difficulty in difficulties for case in phantom_set("heart", difficulty, count, seed)]
    total, done = len(cases) * len(phases) * len(trackers), 0
    for case in cases:
        phantom = case.phantom
        assert isinstance(phantom, HeartPhantom)
        frame_count = int(np.ceil(1.05 * phantom.course.period_s * phantom.imaging.frame_rate_hz)) + 1
        simulated = replace(case, phantom=replace(phantom, frame_count=frame_count)).simulate()
        assert simulated.sequence.times_s is not None
        shown = phantom.course.phase(simulated.sequence.times_s)
        for phase in phases:
            away = np.abs(shown - phase)
            frame = int(np.argmin(np.minimum(away, 1 - away)))
            truth = thin_points(simulated.truth_from(frame), most_points)
            for tracker in trackers:
                progress(done, total, f"{case.name} from {100 * phase:.0f} %: {tracker.name}")
                tracks, rate = run_timed(tracker, simulated.sequence, truth)
                compared = compare_tracks(
                    tracks, truth, name=case.name, rescale_from=simulated.sequence.frame_size, frames_per_second=rate
                )
                errors.setdefault((tracker.name, phase), []).append(compared)
                done += 1
    progress(total, total, "done")
    rows = []
    for tracker in trackers:
        for phase in phases:
            several = errors[tracker.name, phase]
            measured = measure_tracks(several)
            by_phantom = {one.name: measure_tracks(one).delta_avg for one in several}
            rows.append(
                PhaseRow(tracker.name, phase, measured.delta_avg, measured.median_trajectory_error_px, by_phantom)
            )
    return query_phase_result(rows)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "query-phase", help="accuracy against the phase of the beat of the query frame, on phantoms"
    )
    add_phantom_arguments(parser, kinds=False, difficulties=("moderate", "hard"), count=4, seed=TUNING_SEED)
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    chosen = chosen_trackers(arguments)
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_query_phase(
            chosen.trackers,
            difficulties=arguments.difficulty,
            count=arguments.count,
            seed=arguments.seed,
            progress=progress,
        )
    show(result, arguments, chosen.missing)
    return 0
