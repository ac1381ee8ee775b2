"""Strain of one tracker on one simulated clip, measured against the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.strain.cases import StrainCase, given_on
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker, run_timed
from UltrasoundMotionLib.strain import StrainResult, layered_strain, longitudinal_strain
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


@dataclass(frozen=True)
class StrainErrors:
    """One tracker on one clip; differences are measured minus true, in percent points. None: no number was given.

    Attributes:
        difficulty, name, tracker: what and who.
        true_gls_percent: exact.
        gls_error, smoothed_gls_error: of GLS, events found from the tracks themselves.
        segment_errors: of the accepted segments' peak systolic strain, each.
        rejected_segments: how many.
        end_systole_error_frames: found minus true.
        stated_deviation: what the result says of its own error, one standard deviation.
        in_interval: whether the truth lies in the stated 95 % interval.
        gls_by_query_frame: GLS with the contour given on other frames of the beat, the first of them end-diastole.
        position_error_mm: mean distance of the tracked points from the truth.
    """

    difficulty: str
    name: str
    tracker: str
    true_gls_percent: float
    gls_error: float | None
    smoothed_gls_error: float | None
    segment_errors: tuple[float, ...]
    rejected_segments: int
    end_systole_error_frames: int | None
    stated_deviation: float | None
    in_interval: bool | None
    gls_by_query_frame: tuple[float, ...]
    position_error_mm: float

    @property
    def query_frame_deviation(self) -> float | None:
        """Standard deviation of GLS over the frames on which the contour was given."""
        return float(np.std(self.gls_by_query_frame, ddof=1)) if len(self.gls_by_query_frame) > 1 else None


def strain_errors(
    case: StrainCase, tracker: BenchmarkTracker, layer_count: int, query_frame_count: int
) -> StrainErrors:
    """Tracks the wall from frames evenly spread over the beat, end-diastole first, and compares its strain.

    Args:
        layer_count: 3 tracks inner, middle and outer contour together; 1 the middle one alone.
        query_frame_count: on how many frames the contour is given in turn.
    """
    spread = np.linspace(case.end_diastole_frame, case.next_end_diastole_frame, query_frame_count, endpoint=False)
    measured: list[tuple[StrainResult | None, PointTracks, PointTracks]] = []
    for query_frame in np.unique(spread.round().astype(int)).tolist():
        truth = given_on(case, query_frame, layer_count)
        tracks, _ = run_timed(tracker, case.sequence, truth)
        tracks = replace(tracks, times_s=case.sequence.times_s, spacing_mm=case.sequence.spacing_mm)
        measured.append((_strain(case, tracks, layer_count), tracks, truth))
    by_query_frame = [
        one.measures.gls_percent for one, _, _ in measured if one is not None and one.measures.gls_percent is not None
    ]
    result, tracks, truth = measured[0]
    distance = np.linalg.norm((tracks.positions_px - truth.positions_px) * np.asarray(case.sequence.spacing_mm), axis=2)
    common = (case.difficulty, case.name, tracker.name, case.gls_percent)
    if result is None:
        return StrainErrors(
            *common, None, None, (), 6, None, None, None, tuple(by_query_frame), float(np.nanmean(distance))
        )
    gls, uncertainty = result.measures.gls_percent, result.uncertainty
    segments = zip(result.segment_measures, case.peak_systolic_percent, strict=True)
    smooth = None if result.smoothed is None else result.smoothed.measures.gls_percent
    return StrainErrors(
        *common,
        gls_error=None if gls is None else gls - case.gls_percent,
        smoothed_gls_error=None if smooth is None else smooth - case.gls_percent,
        segment_errors=tuple(
            one.peak_systolic_percent - float(true) for one, true in segments if one.peak_systolic_percent is not None
        ),
        rejected_segments=sum(not quality.accepted for quality in result.quality),
        end_systole_error_frames=result.cycle.end_systole_frame - case.end_systole_frame,
        stated_deviation=None if uncertainty is None else uncertainty.standard_deviation_percent,
        in_interval=None
        if uncertainty is None
        else bool(uncertainty.low_percent <= case.gls_percent <= uncertainty.high_percent),
        gls_by_query_frame=tuple(by_query_frame),
        position_error_mm=float(np.nanmean(distance)),
    )


def _strain(case: StrainCase, tracks: PointTracks, layer_count: int) -> StrainResult | None:
    """Strain of the mid-wall; None where the tracks are refused (no beat in them, a contour that collapsed)."""
    try:
        return layered_strain(tracks, case.layers).layers["mid"] if layer_count > 1 else longitudinal_strain(tracks)
    except InputError:
        return None
