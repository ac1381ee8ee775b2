"""Results of one tracker on one clip, for `benchmark second-source`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.evaluation.track_errors import compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import measure_tracks
from UltrasoundMotionLib.lab.benchmarks.round_trip import benchmark_round_trip
from UltrasoundMotionLib.lab.benchmarks.second_source.clips import RoundTripClip
from UltrasoundMotionLib.lab.benchmarks.strain.cases import StrainCase
from UltrasoundMotionLib.lab.benchmarks.strain.errors import strain_errors
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker, run_timed
from UltrasoundMotionLib.lab.phantom_cases import BenchmarkCase


@dataclass(frozen=True)
class ClipRow:
    """Results of one tracker on one clip; what was not measured there is None.

    Attributes:
        group: the clips that are reported together.
        clip: its name.
        tracker: its name.
        ours: whether it is of this project.
        accuracy_percent: mean position accuracy at 1, 2, 4, 8 and 16 px over the positions where points are seen.
        errors_px: of those positions; of a clip without truth the median distance from the start, there and back.
        lost: points lost for good; `points` of them in all.
        points: followed.
        occlusion_accuracy: part of positions where tracker and truth agree about being seen.
        frames_per_second: of the run.
        true_gls: exact global longitudinal strain in percent, where strain was measured.
        gls_error: of that from the raw tracks, in percent points; None where the tracks gave none.
        moved_px: median of each point's greatest displacement, where there is no truth and points go there and back.
    """

    group: str
    clip: str
    tracker: str
    ours: bool
    accuracy_percent: float | None = None
    errors_px: tuple[float, ...] = ()
    lost: int | None = None
    points: int | None = None
    occlusion_accuracy: float | None = None
    frames_per_second: float | None = None
    true_gls: float | None = None
    gls_error: float | None = None
    moved_px: float | None = None


def measure_case(case: BenchmarkCase, tracker: BenchmarkTracker, *, rescale: bool = True) -> ClipRow:
    """Follows a case's points and compares them with the truth.

    Args:
        rescale: give errors in pixels of images resized to 256 x 256; otherwise in the clip's own.
    """
    tracks, rate = run_timed(tracker, case.sequence, case.truth)
    size = case.sequence.frame_size if rescale else None
    errors = compare_tracks(tracks, case.truth, name=case.name, rescale_from=size)
    measures = measure_tracks(errors)
    values = errors.error_px[errors.counted]
    return ClipRow(
        group=case.group,
        clip=case.name,
        tracker=tracker.name,
        ours=tracker.ours,
        accuracy_percent=100 * measures.delta_avg,
        errors_px=tuple(np.round(values, 3).tolist()),
        lost=measures.lost_count,
        points=measures.point_count,
        occlusion_accuracy=measures.occlusion_accuracy,
        frames_per_second=rate,
    )


def strain_group(case: BenchmarkCase) -> str:
    """Returns the column in which the strain of such cases is reported."""
    return f"{case.group}, GLS error"


def measure_strain(case: StrainCase, tracker: BenchmarkTracker, *, group: str) -> ClipRow:
    """Follows the three layers of a wall from end-diastole and compares raw global longitudinal strain."""
    errors = strain_errors(case, tracker, 3, 1)
    return ClipRow(group, case.name, tracker.name, tracker.ours, true_gls=case.gls_percent, gls_error=errors.gls_error)


def measure_round_trip(clip: RoundTripClip, tracker: BenchmarkTracker) -> ClipRow:
    """Follows structured points of a clip without truth to its last frame and back."""
    row = benchmark_round_trip(clip.sequence, [tracker]).rows[0]
    return ClipRow(
        clip.group, clip.sequence.name, tracker.name, tracker.ours, errors_px=(row.median,), moved_px=row.moved
    )
