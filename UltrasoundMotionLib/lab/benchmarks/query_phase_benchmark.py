"""On which phase of the beat points are best placed: accuracy of trackers against the phase of the query frame.

Azad et al., "Taming Modern Point Tracking for Speckle Tracking Echocardiography via Impartial Motion", Sec. 5.2.2 and
Fig. 8, on phantoms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import measure_tracks
from UltrasoundMotionLib.lab.benchmarks.benchmark_trackers import BenchmarkTracker, run_timed
from UltrasoundMotionLib.lab.benchmarks.target import Target
from UltrasoundMotionLib.lab.benchmarks.tracking_benchmark import thin_points
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table

PHASES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.72, 0.8, 0.9)


@dataclass(frozen=True)
class PhaseRow:
    """A tracker's accuracy over all phantoms when points are placed at one phase (0 end-diastole, 1 the next)."""

    tracker: str
    phase: float
    delta_avg: float
    median_trajectory_error_px: float


@dataclass(frozen=True)
class QueryPhaseBenchmark:
    """All rows, tracker by tracker."""

    rows: tuple[PhaseRow, ...]

    def best_phase(self, tracker: str) -> float:
        """The phase whose accuracy, averaged with its neighbours', is highest."""
        own = [row for row in self.rows if row.tracker == tracker]
        values = np.array([row.delta_avg for row in own])
        smooth = (np.roll(values, 1) + 2 * values + np.roll(values, -1)) / 4
        return own[int(np.argmax(smooth))].phase

    def targets(self) -> tuple[Target, ...]:
        """None: it is a finding."""
        return ()

    def table(self, markdown: bool = False) -> str:
        """A line for each phase; for each tracker, mean accuracy and median trajectory error; then the best phase of
        each.
        """
        trackers = list(dict.fromkeys(row.tracker for row in self.rows))
        by_key = {(row.tracker, row.phase): row for row in self.rows}
        header = ["query frame at", *(f"{name} {measure}" for name in trackers for measure in ("delta_avg", "MTE px"))]
        lines = []
        for phase in dict.fromkeys(row.phase for row in self.rows):
            rows = [by_key[name, phase] for name in trackers]
            cells = [
                cell
                for row in rows
                for cell in (format_number(row.delta_avg), format_number(row.median_trajectory_error_px, 2))
            ]
            lines.append([f"{100 * phase:.0f} %", *cells])
        lines.append(["best", *(cell for name in trackers for cell in (f"{100 * self.best_phase(name):.0f} %", ""))])
        return (markdown_table if markdown else text_table)(header, lines)

    def as_dict(self) -> dict:
        """For JSON."""
        return {
            "rows": [asdict(row) for row in self.rows],
            "best": {row.tracker: self.best_phase(row.tracker) for row in self.rows},
        }


def benchmark_query_phase(
    trackers: Sequence[BenchmarkTracker],
    *,
    difficulties: Sequence[str],
    count: int,
    seed: int,
    phases: Sequence[float] = PHASES,
    most_points: int = 24,
    progress: Progress = no_progress,
) -> QueryPhaseBenchmark:
    """Follows points of `count` hearts of each difficulty from a frame at each phase, forwards and backwards.

    Each clip is one beat and a little (the phantom's own frame rate, as many frames as that takes), so that every phase
    has as much before as after.

    Raises:
        InputError: a count under 1; see `phantom_set`.
    """
    from UltrasoundMotionLib.simulation import phantom_set

    if count < 1:
        raise InputError(f"count must be at least 1, got {count}")
    errors: dict[tuple[str, float], list[TrackErrors]] = {}
    cases = [case for difficulty in difficulties for case in phantom_set("heart", difficulty, count, seed)]
    total, done = len(cases) * len(phases) * len(trackers), 0
    for case in cases:
        course = case.phantom.course
        frame_count = int(np.ceil(1.05 * course.period_s * case.phantom.imaging.frame_rate_hz)) + 1
        simulated = replace(case, phantom=replace(case.phantom, frame_count=frame_count)).simulate()
        shown = course.phase(simulated.sequence.times_s)
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
            measured = measure_tracks(errors[tracker.name, phase])
            rows.append(PhaseRow(tracker.name, phase, measured.delta_avg, measured.median_trajectory_error_px))
    return QueryPhaseBenchmark(tuple(rows))
