"""The figures of a point tracker's validation, by groups of cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from UltrasoundMotionLib.evaluation.track_errors import TrackErrors
from UltrasoundMotionLib.evaluation.track_measures import measure_tracks
from UltrasoundMotionLib.lab.training.data.trajectory_clips import ValidationClip


def accuracy_by_group(
    cases: Sequence[ValidationClip], errors_of: Callable[[ValidationClip], TrackErrors]
) -> dict[str, float]:
    """Measures the errors of every case and gathers them by the groups that the cases name.

    Returns:
        "GROUP_delta_avg_percent", the mean position accuracy at 1, 2, 4, 8 and 16 px of 256, and
        "GROUP_median_trajectory_error_px".
    """
    errors: dict[str, list[TrackErrors]] = {}
    for case in cases:
        error = errors_of(case)
        for group in case.groups:
            errors.setdefault(group, []).append(error)
    figures: dict[str, float] = {}
    for group, several in errors.items():
        measured = measure_tracks(several)
        figures[f"{group}_delta_avg_percent"] = round(100 * measured.delta_avg, 1)
        figures[f"{group}_median_trajectory_error_px"] = round(measured.median_trajectory_error_px, 2)
    return figures
