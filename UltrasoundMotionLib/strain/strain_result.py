"""The result of a strain computation: curves, measures, quality and uncertainty."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle, CardiacEvents
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.strain_measures import GlobalStrainMeasures, SegmentStrainMeasures


@dataclass(frozen=True)
class SegmentQuality:
    """How well one segment was tracked in the measured cycle.

    Attributes:
        name: of the segment.
        confidence: mean of the tracker's confidence, 0 to 1.
        lost_share: part of the segment's points that were missing for longer than the gap limit, 0 to 1.
        forward_backward_px: median error of tracking there and back; None where it was not given.
        roughness_percent: how unlike their neighbours the points move, as the error of the segment's strain that this
            would make, in percent points.
        accepted: False: the segment has no strain.
        reason: why it was rejected (or accepted against the measurements), one line; empty otherwise.
        drift_percent: its strain at the next end-diastole, which should be 0; None for an incomplete cycle.
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
    """How sure global end-systolic strain (`gls_percent`) is.

    Attributes:
        standard_deviation_percent: of its error, in percent points.
        low_percent, high_percent: the 95 % interval.
        roughness_part_percent: the part that comes from points moving unlike their neighbours (bootstrap).
        drift_part_percent: the part read from the drift at the end of the cycle; None for an incomplete cycle.
        method: how it was found, one line.
        trackers_percent: global strain by each tracker's name where several tracked the same wall, else empty.
        common_part_percent: the part that all points have alike and that cannot be seen in them.
        rejected_part_percent: the part that comes from rejected segments, whose strain may differ from the others'.
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
    """Strain at the next end-diastole, which should be 0; NaN where the cycle is incomplete or a segment was rejected.

    Attributes:
        global_percent: of the whole contour.
        segmental_percent: (S,).
        compensated: whether it was subtracted from the curves (linearly in time).
    """

    global_percent: float
    segmental_percent: np.ndarray
    compensated: bool = False


@dataclass(frozen=True)
class SmoothedStrain:
    """The same curves from smoothed displacements, to look at beside the raw ones. Quality and rejection always come
    from the raw ones.

    Attributes:
        global_percent: (T,).
        segmental_percent: (T, S).
        point_percent: (T, N).
        measures: of the smoothed global curve.
        segment_measures: of the smoothed segments.
        method: what was smoothed and how much, one line.
    """

    global_percent: np.ndarray
    segmental_percent: np.ndarray
    point_percent: np.ndarray
    measures: GlobalStrainMeasures
    segment_measures: tuple[SegmentStrainMeasures, ...]
    method: str


@dataclass(frozen=True)
class StrainResult:
    """Strain along (or across) a wall of N points and S segments over T frames, relative to the measured cycle's
    end-diastole.

    All strain is Lagrangian, in percent, raw, unless named otherwise; NaN where nothing is known: a frame without
    tracks, a rejected segment, and the whole contour when too many segments were rejected.

    Attributes:
        view: a name of `segment_model`.
        kind: "longitudinal", "circumferential", "radial" or "transverse".
        layer: of the wall ("endo", "mid", "epi" ...), as the caller named it; may be empty.
        segment_names: S names in the order of the contour.
        segment_numbers: in the 17-segment model.
        times_s: (T,) or None when unknown; then there is no strain rate and no time to peak.
        spacing_mm: (x, y) pixel size, or None when unknown; then there are no lengths, and strain takes pixels to be
            square.
        events: end-diastoles and end-systoles.
        cycle: the measured cycle.
        cycle_index: its number in `events.cycles(T)`.
        positions_px: (T, N, 2) the points in the contour's order, gaps bridged.
        point_labels: (N,) their labels.
        segment_of_point: (N,) index of the segment each point lies in.
        global_percent: (T,).
        segmental_percent: (T, S).
        point_percent: (T, N) local strain, of the pieces that meet at each point; for colouring the wall.
        natural_global_percent: (T,).
        natural_segmental_percent: (T, S).
        strain_rate_per_s: (T,) of the whole contour, the derivative of Lagrangian strain, 1/s; None when times are
            unknown.
        segmental_strain_rate_per_s: (T, S) or None.
        natural_strain_rate_per_s: (T,) the derivative of natural strain, 1/s; None when times are unknown.
        length_mm: (T,) of the accepted segments together (radial, transverse: mean thickness), or None when the spacing
            is unknown.
        drift: at the end of the cycle.
        measures: of the whole contour.
        segment_measures: of each segment, in order.
        cycle_measures: of the whole contour in every cycle, each relative to its own end-diastole.
        quality: of each segment, in order.
        uncertainty: of GLS, or None when it cannot be told.
        smoothed: the curves after smoothing, or None when no smoothing was asked for.
        config: the choices.
        model: name of the tracker.
        notes: what a reader should know, one line each.
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
    quality: tuple[SegmentQuality, ...]
    uncertainty: StrainUncertainty | None
    smoothed: SmoothedStrain | None
    config: StrainConfig
    model: str = ""
    notes: tuple[str, ...] = ()
