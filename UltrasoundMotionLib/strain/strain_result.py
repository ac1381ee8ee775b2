"""The result of a strain computation: curves, measures, quality and uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle, CardiacEvents
from UltrasoundMotionLib.strain.plausibility import BeatSummary
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.strain_measures import GlobalStrainMeasures, SegmentStrainMeasures
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


@dataclass(frozen=True)
class SegmentQuality:
    """Tracking quality of one segment in the measured cycle.

    Attributes:
        name: the segment's name.
        confidence: mean of the tracker's confidence, 0 to 1.
        lost_share: fraction of the segment's points that were missing for longer than the gap limit, 0 to 1.
        forward_backward_px: median forward-backward error of its points; None where it was not given.
        roughness_percent: disagreement of the points' motion with their neighbours', expressed as the error of the
            segment's strain that it would cause, in percentage points.
        accepted: False where the segment is rejected and has no strain.
        reason: why it was rejected (or accepted despite the measurements), one line; empty otherwise.
        drift_percent: its strain at the next end-diastole, ideally 0; None for an incomplete cycle.
    """

    name: str
    confidence: float
    lost_share: float
    forward_backward_px: float | None
    roughness_percent: float
    accepted: bool = True
    reason: str = ""
    drift_percent: float | None = None


@dataclass(frozen=True)
class StrainUncertainty:
    """Uncertainty of global end-systolic strain (`gls_percent`), in percentage points.

    Attributes:
        standard_deviation_percent: standard deviation of the error.
        low_percent, high_percent: the 95 % interval of global strain.
        roughness_part_percent: the part from points that move unlike their neighbours (bootstrap).
        drift_part_percent: the part from the drift at the end of the cycle; None for an incomplete cycle.
        method: the estimation method, one line.
        trackers_percent: (tracker, global strain) where several trackers followed the same wall, else empty.
        common_part_percent: the part common to all points, which the points themselves cannot show.
        rejected_part_percent: the part from rejected segments, whose strain may differ from the others'.
    """

    standard_deviation_percent: float
    low_percent: float
    high_percent: float
    roughness_part_percent: float
    drift_part_percent: float | None
    method: str
    trackers_percent: tuple[tuple[str, float], ...] = ()
    common_part_percent: float = 0.0
    rejected_part_percent: float = 0.0


@dataclass(frozen=True)
class StrainDrift:
    """Strain at the next end-diastole, ideally 0; NaN where the cycle is incomplete or a segment was rejected.

    Attributes:
        global_percent: drift of the whole contour.
        segmental_percent: (S,) drift of each segment.
        compensated: True when it was subtracted from the curves, linearly in time.
    """

    global_percent: float
    segmental_percent: np.ndarray
    compensated: bool = False


@dataclass(frozen=True)
class SmoothedStrain:
    """Curves from smoothed displacements, shown beside the raw ones; quality and rejection come from the raw curves.

    Attributes:
        global_percent: (T,) strain of the whole contour.
        segmental_percent: (T, S) strain of each segment.
        point_percent: (T, N) local strain around each point.
        measures: measures of the smoothed global curve.
        segment_measures: measures of the smoothed segments.
        method: kind and width of the smoothing, one line.
    """

    global_percent: np.ndarray
    segmental_percent: np.ndarray
    point_percent: np.ndarray
    measures: GlobalStrainMeasures
    segment_measures: tuple[SegmentStrainMeasures, ...]
    method: str


@dataclass(frozen=True)
class StrainResult:
    """Strain of a wall of N points and S segments over T frames, relative to the measured cycle's end-diastole.

    All strain is Lagrangian, in percent, raw, unless named otherwise; NaN where unknown: a frame without tracks, a
    rejected segment, and the whole contour when too many segments were rejected.

    Attributes:
        view: a name of `segment_model`.
        kind: "longitudinal", "circumferential", "radial" or "transverse".
        layer: the caller's name of the wall's layer ("endo", "mid", "epi" ...); may be empty.
        segment_names: S names in the order of the contour.
        segment_numbers: their numbers in the 17-segment model.
        times_s: (T,) frame times, or None when unknown; then there is no strain rate and no time to peak.
        spacing_mm: (x, y) pixel size, or None when unknown; then there are no lengths, and strain takes pixels to be
            square.
        events: end-diastoles and end-systoles.
        cycle: the measured cycle.
        cycle_index: its index in `events.cycles(T)`.
        positions_px: (T, N, 2) the points in the contour's order, gaps filled.
        point_labels: (N,) their labels.
        segment_of_point: (N,) index of the segment each point lies in.
        global_percent: (T,) strain of the whole contour.
        segmental_percent: (T, S) strain of each segment.
        point_percent: (T, N) local strain, of the pieces that meet at each point; for colouring the wall.
        natural_global_percent: (T,) natural strain of the whole contour.
        natural_segmental_percent: (T, S) natural strain of each segment.
        strain_rate_per_s: (T,) derivative of the whole contour's Lagrangian strain, 1/s; None when times are unknown.
        segmental_strain_rate_per_s: (T, S) derivative of each segment's Lagrangian strain, or None.
        natural_strain_rate_per_s: (T,) derivative of natural strain, 1/s; None when times are unknown.
        length_mm: (T,) length of the accepted segments together (radial, transverse: mean thickness), or None when the
            spacing is unknown.
        drift: strain at the end of the cycle.
        measures: measures of the whole contour.
        segment_measures: measures of each segment, in order.
        cycle_measures: measures of the whole contour in every cycle, each relative to its own end-diastole.
        beats: mean and spread of global strain over the whole beats of the clip; None where none was measured.
        quality: tracking quality of each segment, in order.
        uncertainty: uncertainty of GLS, or None when it cannot be estimated.
        smoothed: the curves after smoothing, or None when smoothing is off.
        config: the settings.
        model: name of the tracker.
        notes: remarks for the reader, one line each.
    """

    view: str
    kind: str
    layer: str
    segment_names: tuple[str, ...]
    segment_numbers: tuple[int, ...]
    times_s: np.ndarray | None
    spacing_mm: tuple[float, float] | None
    events: CardiacEvents
    cycle: CardiacCycle
    cycle_index: int
    positions_px: np.ndarray
    point_labels: tuple[str, ...]
    segment_of_point: np.ndarray
    global_percent: np.ndarray
    segmental_percent: np.ndarray
    point_percent: np.ndarray
    natural_global_percent: np.ndarray
    natural_segmental_percent: np.ndarray
    strain_rate_per_s: np.ndarray | None
    segmental_strain_rate_per_s: np.ndarray | None
    natural_strain_rate_per_s: np.ndarray | None
    length_mm: np.ndarray | None
    drift: StrainDrift
    measures: GlobalStrainMeasures
    segment_measures: tuple[SegmentStrainMeasures, ...]
    cycle_measures: tuple[GlobalStrainMeasures, ...]
    beats: BeatSummary | None
    quality: tuple[SegmentQuality, ...]
    uncertainty: StrainUncertainty | None
    smoothed: SmoothedStrain | None
    config: StrainConfig
    model: str = ""
    notes: tuple[str, ...] = ()

    def wall_tracks(self) -> PointTracks:
        """Returns the measured contour as tracks, gaps filled; the query frame is the measured cycle's end-diastole."""
        known = np.isfinite(self.positions_px).all(axis=2)
        return PointTracks(
            positions_px=self.positions_px,
            confidence=known.astype(np.float64),
            visible=known,
            labels=self.point_labels,
            query_frame=self.cycle.reference_frame,
            times_s=self.times_s,
            spacing_mm=self.spacing_mm,
            model=self.model,
        )
