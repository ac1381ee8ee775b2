"""From the lengths of a wall's pieces to strain curves, drift and measures."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle
from UltrasoundMotionLib.strain.segment_model import SegmentModel
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.strain_measures import GlobalStrainMeasures, SegmentStrainMeasures, lagrangian_percent, measure
from UltrasoundMotionLib.strain.strain_result import StrainDrift


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


def measured_cycle(cycles: tuple[CardiacCycle, ...], wanted: int | None) -> tuple[int, CardiacCycle]:
    """The cycle asked for, or the first complete one, else the first with a whole systole, else the first; with its index.

    Raises:
        InputError: a cycle that does not exist.
    """
    if wanted is not None:
        if wanted >= len(cycles):
            raise InputError(f"cycle {wanted} does not exist; there are {len(cycles)} (0 to {len(cycles) - 1})")
        return wanted, cycles[wanted]
    return max(enumerate(cycles), key=lambda entry: (entry[1].complete, entry[1].whole_systole, -entry[0]))


def strain_curves(
    lengths: np.ndarray,
    shares: np.ndarray,
    accepted: np.ndarray,
    cycles: tuple[CardiacCycle, ...],
    cycle_index: int,
    times_s: np.ndarray | None,
    model: SegmentModel,
    config: StrainConfig,
    *,
    closed: bool,
    shortening: bool = True,
) -> StrainCurves:
    """Curves relative to the measured cycle's end-diastole, and measures of every cycle relative to its own.

    Args:
        lengths: (T, P) of the wall's pieces.
        shares: (P, S) part of each piece in each segment.
        accepted: (S,) bool.
        closed: the pieces form a ring.
        shortening: False for thickening.
    """
    segment_lengths = lengths @ shares
    total = segment_lengths[:, accepted].sum(axis=1)
    if np.count_nonzero(~accepted) > config.maximum_rejected_segments or not accepted.any():
        total = np.full(len(lengths), np.nan)
    cycle = cycles[cycle_index]
    whole, parts, points, drift = _relative(total, segment_lengths, lengths, accepted, cycle, times_s, config.compensate_drift, closed)
    segment_measures = tuple(
        SegmentStrainMeasures(
            name=name, number=number, **measure(parts[:, index], cycle, times_s, _known(drift.segmental_percent[index]), shortening)
        )
        for index, (name, number) in enumerate(zip(model.names, model.numbers, strict=True))
    )
    cycle_measures = []
    for other in cycles:
        other_whole, other_parts, _, other_drift = _relative(
            total, segment_lengths, lengths, accepted, other, times_s, config.compensate_drift, closed
        )
        values = measure(other_whole, other, times_s, _known(other_drift.global_percent), shortening)
        result = GlobalStrainMeasures(**values)
        if values:
            mean = float(np.mean(other_parts[other.end_systole_frame, accepted]))
            result = replace(result, gls_percent=result.end_systolic_percent, gls_segment_mean_percent=mean)
        cycle_measures.append(result)
    return StrainCurves(whole, parts, points, total, drift, cycle_measures[cycle_index], segment_measures, tuple(cycle_measures))


def _relative(
    total: np.ndarray,
    segment_lengths: np.ndarray,
    lengths: np.ndarray,
    accepted: np.ndarray,
    cycle: CardiacCycle,
    times_s: np.ndarray | None,
    compensate: bool,
    closed: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, StrainDrift]:
    """Global (T,), segmental (T, S) and point (T, N) strain relative to a cycle's end-diastole, and the drift at its end."""
    reference = cycle.reference_frame
    if closed:
        around = lengths + np.roll(lengths, 1, axis=1)
    else:
        around = np.concatenate([lengths, lengths[:, -1:]], axis=1) + np.concatenate([lengths[:, :1], lengths], axis=1)
    curves = np.concatenate(
        [
            lagrangian_percent(total, total[reference])[:, None],
            lagrangian_percent(segment_lengths, segment_lengths[reference]),
            lagrangian_percent(around, around[reference]),
        ],
        axis=1,
    )
    segment_count = segment_lengths.shape[1]
    curves[:, 1 : segment_count + 1][:, ~accepted] = np.nan
    at_end = curves[cycle.last_frame] if cycle.complete else np.full(curves.shape[1], np.nan)
    if compensate and cycle.complete:
        places = np.arange(len(curves)) if times_s is None else times_s
        course = (places - places[reference]) / (places[cycle.last_frame] - places[reference])
        curves = curves - course[:, None] * at_end
    drift = StrainDrift(float(at_end[0]), at_end[1 : segment_count + 1], compensate and cycle.complete)
    return curves[:, 0], curves[:, 1 : segment_count + 1], curves[:, segment_count + 1 :], drift


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
