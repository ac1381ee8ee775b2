"""From the lengths of a wall's pieces to strain curves, drift and measures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle
from UltrasoundMotionLib.strain.curve_geometry import chord_lengths
from UltrasoundMotionLib.strain.measured_wall import MeasuredWall
from UltrasoundMotionLib.strain.strain_measures import (
    GlobalStrainMeasures,
    SegmentStrainMeasures,
    lagrangian_percent,
    measure,
)
from UltrasoundMotionLib.strain.strain_result import StrainDrift


@dataclass(frozen=True)
class Lengths:
    """What is stretched: pieces along a wall, or its thickness at points.

    Attributes:
        pieces: (T, P) lengths.
        at_points: (T, N) length around each point, for local strain.
        shares: (P, S) weight of each piece in each segment.
        thickening: it is thickness: in systole it grows, and the whole is a mean, not a sum.
    """

    pieces: np.ndarray
    at_points: np.ndarray
    shares: np.ndarray
    thickening: bool = False


def lengths_along(positions: np.ndarray, shares: np.ndarray, closed: bool) -> Lengths:
    """Lengths of the pieces between neighbours of (T, N, 2) points; around a point, of the two that meet there."""
    pieces = chord_lengths(positions, closed)
    before, after = (
        (np.roll(pieces, 1, axis=1), pieces)
        if closed
        else (np.pad(pieces, ((0, 0), (1, 0))), np.pad(pieces, ((0, 0), (0, 1))))
    )
    return Lengths(pieces, before + after, shares)


@dataclass(frozen=True)
class StrainCurves:
    """Curves and what is read off them; see `StrainResult` for the fields."""

    global_percent: np.ndarray
    segmental_percent: np.ndarray
    point_percent: np.ndarray
    length: np.ndarray
    drift: StrainDrift
    measures: GlobalStrainMeasures
    segment_measures: tuple[SegmentStrainMeasures, ...]
    cycle_measures: tuple[GlobalStrainMeasures, ...]


def strain_curves(lengths: Lengths, wall: MeasuredWall) -> StrainCurves:
    """Curves relative to the measured cycle's end-diastole, and measures of every cycle relative to its own."""
    accepted = np.array([segment.accepted for segment in wall.quality])
    by_segment = lengths.pieces @ lengths.shares
    total = by_segment[:, accepted].sum(axis=1)
    if not accepted.any() or np.count_nonzero(~accepted) > wall.config.maximum_rejected_segments:
        total = np.full(len(total), np.nan)
    if lengths.thickening:
        total = total / max(lengths.shares[:, accepted].sum(), 1e-12)
    # One row of curves: the whole, the segments, the points.
    stacked = np.concatenate([total[:, None], np.where(accepted, by_segment, np.nan), lengths.at_points], axis=1)
    compensate = wall.config.compensate_drift
    segments = slice(1, 1 + by_segment.shape[1])
    curves, at_end = _relative(stacked, wall.cycle, wall.times_s, compensate)
    segment_measures = tuple(
        SegmentStrainMeasures(
            name=name, number=number, **measure(curve, wall.cycle, wall.times_s, drift, lengths.thickening)
        )
        for name, number, curve, drift in zip(
            wall.model.names, wall.model.numbers, curves[:, segments].T, at_end[segments], strict=True
        )
    )
    cycle_measures = []
    for cycle in wall.cycles:
        own, drift = _relative(stacked, cycle, wall.times_s, compensate)
        measures = GlobalStrainMeasures(**measure(own[:, 0], cycle, wall.times_s, drift[0], lengths.thickening))
        if measures.end_systolic_percent is not None:
            mean = float(np.mean(own[cycle.end_systole_frame, segments][accepted]))
            measures = replace(measures, gls_percent=measures.end_systolic_percent, gls_segment_mean_percent=mean)
        cycle_measures.append(measures)
    return StrainCurves(
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
    """(T, C) strain of (T, C) lengths relative to a cycle's end-diastole, and (C,) drift at its end (NaN where it is
    incomplete).

    Compensation subtracts a line in time that is 0 at end-diastole and the drift at the end of the cycle.
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
