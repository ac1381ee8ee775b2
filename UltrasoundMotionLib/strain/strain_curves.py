"""Strain curves, drift and measures from the lengths of a wall's pieces, assembled into a result."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle
from UltrasoundMotionLib.strain.curve_geometry import chord_lengths
from UltrasoundMotionLib.strain.measured_wall import MeasuredWall
from UltrasoundMotionLib.strain.plausibility import beat_notes, result_doubts, summarise_beats
from UltrasoundMotionLib.strain.strain_measures import (
    GlobalStrainMeasures,
    SegmentStrainMeasures,
    lagrangian_percent,
    measure_curve,
    natural_percent,
    rate_per_s,
)
from UltrasoundMotionLib.strain.strain_result import SmoothedStrain, StrainDrift, StrainResult


@dataclass(frozen=True)
class Lengths:
    """Lengths over time whose change is strain: of pieces along a wall, or the wall's thickness at points.

    Attributes:
        pieces: (T, P) lengths.
        at_points: (T, N) length around each point, for local strain.
        shares: (P, S) weight of each piece in each segment.
        thickening: True for thickness, which grows in systole, and whose global value is a mean, not a sum.
    """

    pieces: np.ndarray
    at_points: np.ndarray
    shares: np.ndarray
    thickening: bool = False


def lengths_along(positions: np.ndarray, shares: np.ndarray, closed: bool) -> Lengths:
    """Returns the lengths between neighbouring points (T, N, 2); around a point, the two pieces that meet there."""
    pieces = chord_lengths(positions, closed)
    before, after = (
        (np.roll(pieces, 1, axis=1), pieces)
        if closed
        else (np.pad(pieces, ((0, 0), (1, 0))), np.pad(pieces, ((0, 0), (0, 1))))
    )
    return Lengths(pieces, before + after, shares)


def assemble_strain(wall: MeasuredWall, kind: str, lengths: Lengths, smooth_lengths: Lengths | None) -> StrainResult:
    """Makes the result of one kind of strain, without its uncertainty.

    Args:
        lengths: the raw lengths of the wall's pieces.
        smooth_lengths: the lengths after smoothing, or None.
    """
    tracks, times, config = wall.tracks, wall.times_s, wall.config
    raw = _strain_curves(lengths, wall)
    smoothed = None
    if smooth_lengths is not None:
        curves = _strain_curves(smooth_lengths, wall)
        in_time = "1 frame" if times is None else f"{1000 * config.smoothing_time_s:g} ms"
        along = f"{config.smoothing_wall_share:.3g} of the contour along the wall"
        method = f"displacements by local parabolas, {along}, {in_time} in time"
        smoothed = SmoothedStrain(
            curves.global_percent,
            curves.segmental_percent,
            curves.point_percent,
            curves.measures,
            curves.segment_measures,
            method,
        )
    rejected = [segment for segment in wall.quality if not segment.accepted]
    notes = wall.notes
    if len(rejected) > config.maximum_rejected_segments:
        notes.append(
            f"no global strain: {len(rejected)} segments were rejected, more than {config.maximum_rejected_segments}"
        )
    elif rejected:
        notes.append(f"left out of global strain: {', '.join(segment.name for segment in rejected)}")
    beats = summarise_beats(wall.cycles, raw.cycle_measures, times)
    measured = raw.measures.end_systolic_percent
    notes += beat_notes(beats, measured) + result_doubts(kind, measured, raw.measures.peak_systolic_rate_per_s)
    natural = natural_percent(raw.global_percent)
    return StrainResult(
        view=wall.model.view,
        kind=kind,
        layer=wall.layer,
        segment_names=wall.model.names,
        segment_numbers=wall.model.numbers,
        times_s=times,
        spacing_mm=tracks.spacing_mm,
        events=wall.events,
        cycle=wall.cycle,
        cycle_index=wall.cycle_index,
        positions_px=wall.wall.positions_px,
        point_labels=wall.wall.labels,
        segment_of_point=wall.segment_of_point,
        global_percent=raw.global_percent,
        segmental_percent=raw.segmental_percent,
        point_percent=raw.point_percent,
        natural_global_percent=natural,
        natural_segmental_percent=natural_percent(raw.segmental_percent),
        strain_rate_per_s=None if times is None else rate_per_s(raw.global_percent, times),
        segmental_strain_rate_per_s=None if times is None else rate_per_s(raw.segmental_percent, times),
        natural_strain_rate_per_s=None if times is None else rate_per_s(natural, times),
        length_mm=None if tracks.spacing_mm is None else raw.length,
        drift=raw.drift,
        measures=raw.measures,
        segment_measures=raw.segment_measures,
        cycle_measures=raw.cycle_measures,
        beats=beats,
        quality=wall.quality,
        uncertainty=None,
        smoothed=smoothed,
        config=config,
        model=tracks.model,
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class _StrainCurves:
    """Curves and measures of one set of lengths; fields as in `StrainResult`."""

    global_percent: np.ndarray
    segmental_percent: np.ndarray
    point_percent: np.ndarray
    length: np.ndarray
    drift: StrainDrift
    measures: GlobalStrainMeasures
    segment_measures: tuple[SegmentStrainMeasures, ...]
    cycle_measures: tuple[GlobalStrainMeasures, ...]


def _strain_curves(lengths: Lengths, wall: MeasuredWall) -> _StrainCurves:
    """Computes curves relative to the measured cycle's end-diastole, and each cycle's measures relative to its own."""
    accepted = np.array([segment.accepted for segment in wall.quality])
    by_segment = lengths.pieces @ lengths.shares
    total = by_segment[:, accepted].sum(axis=1)
    if not accepted.any() or np.count_nonzero(~accepted) > wall.config.maximum_rejected_segments:
        total = np.full(len(total), np.nan)
    if lengths.thickening:
        total = total / max(lengths.shares[:, accepted].sum(), 1e-12)
    # Columns: the whole, the segments, the points.
    stacked = np.concatenate([total[:, None], np.where(accepted, by_segment, np.nan), lengths.at_points], axis=1)
    compensate = wall.config.compensate_drift
    segments = slice(1, 1 + by_segment.shape[1])
    curves, at_end = _relative(stacked, wall.cycle, wall.times_s, compensate)
    segment_measures = tuple(
        SegmentStrainMeasures(
            name=name, number=number, **measure_curve(curve, wall.cycle, wall.times_s, drift, lengths.thickening)
        )
        for name, number, curve, drift in zip(
            wall.model.names, wall.model.numbers, curves[:, segments].T, at_end[segments], strict=True
        )
    )
    cycle_measures = []
    for cycle in wall.cycles:
        own, drift = _relative(stacked, cycle, wall.times_s, compensate)
        measures = GlobalStrainMeasures(**measure_curve(own[:, 0], cycle, wall.times_s, drift[0], lengths.thickening))
        if measures.end_systolic_percent is not None:
            mean = float(np.mean(own[cycle.end_systole_frame, segments][accepted]))
            measures = replace(measures, gls_percent=measures.end_systolic_percent, gls_segment_mean_percent=mean)
        cycle_measures.append(measures)
    return _StrainCurves(
        global_percent=curves[:, 0],
        segmental_percent=curves[:, segments],
        point_percent=curves[:, segments.stop :],
        length=total,
        drift=StrainDrift(float(at_end[0]), at_end[segments], compensate and wall.cycle.complete),
        measures=cycle_measures[wall.cycle_index],
        segment_measures=segment_measures,
        cycle_measures=tuple(cycle_measures),
    )


def _relative(
    lengths: np.ndarray, cycle: CardiacCycle, times_s: np.ndarray | None, compensate: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Returns strain (T, C) of lengths (T, C) relative to a cycle's end-diastole, and the drift (C,) at its end.

    The drift of an incomplete cycle is NaN. Compensation subtracts a line in time that is 0 at end-diastole and the
    drift at the end of the cycle.
    """
    reference = cycle.reference_frame
    with np.errstate(invalid="ignore", divide="ignore"):
        curves = lagrangian_percent(lengths, lengths[reference])
    if not cycle.complete:
        return curves, np.full(lengths.shape[1], np.nan)
    drift = curves[cycle.last_frame].copy()
    if compensate:
        places = np.arange(len(curves)) if times_s is None else times_s
        course = (places - places[reference]) / (places[cycle.last_frame] - places[reference])
        curves = curves - course[:, None] * drift
    return curves, drift
