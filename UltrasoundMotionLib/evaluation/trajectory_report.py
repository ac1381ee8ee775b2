"""Trackers on sets of known trajectories: the table of Azad et al. (Table 2), and accuracy against the query frame's
phase (Figs. 2, 8 and 9).

Errors are those of images resized to 256 x 256, as in the paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from UltrasoundMotionLib.evaluation.case_statistics import CaseStatistics, paired_difference
from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import TrackMeasures, flat_measures, measure_tracks
from UltrasoundMotionLib.evaluation.tracker_runs import TrackerRun, truth_from
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table
from UltrasoundMotionLib.tracking.files.trajectory_set import TrajectorySet

_MEGABYTE = 1e6


@dataclass(frozen=True)
class SetMeasures:
    """A tracker on the clips of one set, with points placed at one phase of the cycle.

    Attributes:
        set_name, tracker: which.
        phase: of the cycle.
        measures: over all positions.
        accuracy_by_clip: `delta_avg` of each clip.
        accuracy_by_patient: the mean over the clips of each patient, whose clips are not independent.
        seconds_a_clip: mean.
        peak_bytes: of the tracker's process, or of the GPU where it ran on one.
        on_gpu: whether it did.
    """

    set_name: str
    tracker: str
    phase: float
    measures: TrackMeasures
    accuracy_by_clip: Mapping[str, float]
    accuracy_by_patient: Mapping[str, float]
    seconds_a_clip: float
    peak_bytes: int
    on_gpu: bool

    def as_dict(self) -> dict[str, Any]:
        """Returns the content for JSON."""
        return {
            "set": self.set_name,
            "tracker": self.tracker,
            "phase": self.phase,
            "clips": len(self.accuracy_by_clip),
            **flat_measures(self.measures),
            "seconds_a_clip": self.seconds_a_clip,
            "peak_bytes": self.peak_bytes,
            "on_gpu": self.on_gpu,
            "delta_avg_by_clip": dict(self.accuracy_by_clip),
            "delta_avg_by_patient": dict(self.accuracy_by_patient),
        }


def measure_sets(sets: Sequence[TrajectorySet], runs: Mapping[str, Sequence[TrackerRun]]) -> tuple[SetMeasures, ...]:
    """Compares what trackers found with the trajectories: set by set, tracker by tracker, phase by phase.

    Args:
        runs: of each set, by its name.

    Raises:
        InputError: a clip or a table that cannot be read any more.
    """
    rows = []
    for one in sets:
        truths = {case.name: case.read() for case in one.cases}
        for run in runs[one.name]:
            by_phase: dict[float, dict[str, TrackErrors]] = {}
            seconds: dict[float, list[float]] = {}
            for found in run.found:
                sequence, truth = truths[found.case.name]
                known = truth_from(truth, found.tracks.query_frame, str(found.case.tracks))
                errors = compare_tracks(
                    found.tracks,
                    replace(known, spacing_mm=None),
                    name=found.case.name,
                    rescale_from=sequence.frame_size,
                )
                by_phase.setdefault(found.phase, {})[found.case.name] = errors
                seconds.setdefault(found.phase, []).append(found.seconds)
            for phase, errors_of in by_phase.items():
                each = {name: measure_tracks(errors).delta_avg for name, errors in errors_of.items()}
                rows.append(
                    SetMeasures(
                        one.name,
                        run.tracker,
                        phase,
                        measure_tracks(list(errors_of.values()), name=one.name),
                        each,
                        _by_patient(one, each),
                        float(np.mean(seconds[phase])),
                        run.peak_bytes if run.device_peak_bytes is None else run.device_peak_bytes,
                        run.device_peak_bytes is not None,
                    )
                )
    return tuple(rows)


def _by_patient(one: TrajectorySet, by_clip: Mapping[str, float]) -> dict[str, float]:
    """Returns the mean over the clips of each patient."""
    values: dict[str, list[float]] = {}
    for case in one.cases:
        values.setdefault(case.patient, []).append(by_clip[case.name])
    return {patient: float(np.mean(own)) for patient, own in values.items()}


def accuracy_table(
    rows: Sequence[SetMeasures], sets: Sequence[TrajectorySet], *, against: str | None = None, markdown: bool = False
) -> str:
    """Formats Table 2: a row for each tracker in each set, with the spread over patients.

    Args:
        against: the tracker with which each other is compared, patient by patient; None: the first.
    """
    against = against or rows[0].tracker
    counts = {one.name: f"{one.name} ({len(one.patients)} patients, {len(one.cases)} clips)" for one in sets}
    header = ["set", "tracker", "<1px", "<2px", "<4px", "<8px", "delta_avg", "MTE px", "s a clip", "peak MB"]
    header += ["mean of patients", "std", f"minus {against}", "95 % interval"]
    lines = []
    for row in rows:
        numbers = flat_measures(row.measures)
        names = (*(f"accuracy_{threshold}px" for threshold in (1, 2, 4, 8)), "delta_avg")
        spread = CaseStatistics.of(list(row.accuracy_by_patient.values()))
        difference = next(
            (
                paired_difference(row.accuracy_by_patient, other.accuracy_by_patient)
                for other in rows
                if (other.set_name, other.phase, other.tracker) == (row.set_name, row.phase, against)
                and row.tracker != against
            ),
            None,
        )
        lines.append(
            [
                counts[row.set_name],
                row.tracker,
                *(format_number(numbers[name], 3) for name in names),
                format_number(row.measures.median_trajectory_error_px, 2),
                format_number(row.seconds_a_clip, 2),
                format_number(row.peak_bytes / _MEGABYTE, 0) + (" (GPU)" if row.on_gpu else ""),
                format_number(spread.mean, 3),
                format_number(spread.std, 3),
                "-" if difference is None else f"{difference.mean:+.3f}",
                "-" if difference is None else f"{difference.low:+.3f} to {difference.high:+.3f}",
            ]
        )
    return (markdown_table if markdown else text_table)(header, lines)


def phase_table(rows: Sequence[SetMeasures], *, markdown: bool = False) -> str:
    """Formats accuracy and median trajectory error of each tracker for points placed at each phase of the cycle, and
    the phase at which each is best: the mean of its best phases by the two measures.
    """
    tables = []
    for name in dict.fromkeys(row.set_name for row in rows):
        own = [row for row in rows if row.set_name == name]
        trackers = list(dict.fromkeys(row.tracker for row in own))
        found = {(row.tracker, row.phase): row for row in own}
        header = [f"{name}: points at", *(f"{one} {part}" for one in trackers for part in ("delta_avg", "MTE px"))]
        lines = []
        for phase in dict.fromkeys(row.phase for row in own):
            cells = [f"{100 * phase:.0f} %"]
            for one in trackers:
                measures = found[one, phase].measures
                cells += [
                    format_number(measures.delta_avg, 3),
                    format_number(measures.median_trajectory_error_px, 2),
                ]
            lines.append(cells)
        best = ["best"]
        for one in trackers:
            best += [f"{100 * phase:.0f} %" for phase in _best_phases([row for row in own if row.tracker == one])]
        tables.append((markdown_table if markdown else text_table)(header, [*lines, best]))
    return "\n\n".join(tables)


def best_phase(rows: Sequence[SetMeasures]) -> float:
    """Returns the mean of all trackers' best phases by both measures (Azad et al., Sec. 5.2.2)."""
    trackers = dict.fromkeys((row.set_name, row.tracker) for row in rows)
    return float(
        np.mean([_best_phases([row for row in rows if (row.set_name, row.tracker) == one]) for one in trackers])
    )


def _best_phases(rows: Sequence[SetMeasures]) -> tuple[float, float]:
    """Returns the phases with the highest accuracy and with the lowest median trajectory error."""
    accurate = max(rows, key=lambda row: row.measures.delta_avg)
    near = min(rows, key=lambda row: row.measures.median_trajectory_error_px)
    return accurate.phase, near.phase
