"""Strain of the 16-, 17- and 18-segment left ventricle from several apical views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.segment_model import SEGMENT_NAMES, SEGMENT_NAMES_18, segment_model
from UltrasoundMotionLib.strain.strain_result import StrainResult

APICAL_VIEWS = ("A4C", "A2C", "APLAX")
SEGMENT_COUNTS = (16, 17, 18)
_VALUES = (
    "end_systolic_percent",
    "peak_systolic_percent",
    "peak_percent",
    "post_systolic_percent",
    "post_systolic_index_percent",
    "time_to_peak_s",
)


@dataclass(frozen=True)
class LeftVentricleStrain:
    """One value for each segment of the left ventricle, and their means.

    Attributes:
        segment_count: 16, 17 or 18.
        value: name of the field of `StrainMeasures`.
        numbers: 1 to `segment_count`.
        names: the segments' names.
        percent: (segment_count,) values, NaN where no view shows the segment or it was rejected; in seconds for
            `time_to_peak_s`.
        views: the views that were combined.
        gls_percent: mean of the views' end-systolic whole-contour strain (Voigt et al. 2015), or None when a view has
            none.
        gls_segment_mean_percent: mean end-systolic strain of all measured segments of all views, each once (the
            18-segment mean where three views are complete), so that no view counts more than its segments; None when
            there is no segment.
        notes: remarks for the reader, one line each.
    """

    segment_count: int
    value: str
    numbers: tuple[int, ...]
    names: tuple[str, ...]
    percent: np.ndarray
    views: tuple[str, ...]
    gls_percent: float | None
    gls_segment_mean_percent: float | None
    notes: tuple[str, ...] = ()


def ventricle_strain(
    results: Sequence[StrainResult], segment_count: int = 17, value: str = "end_systolic_percent"
) -> LeftVentricleStrain:
    """Combines apical views.

    Three views of six segments show the 18-segment ventricle, each segment in one view. The 16- and 17-segment
    ventricles cut the apex into four (Cerqueira et al. 2002): apical septal is the mean of 18's apical inferoseptal
    (A4C) and anteroseptal (APLAX), apical lateral that of apical anterolateral (A4C) and inferolateral (APLAX), since
    three quarters of each of those lie in the larger segment; where only one of the two was measured, it is used alone.
    Segment 17, the apical cap, is in no view's six segments: it is the mean of the measured segments 13 to 16, a
    derived value. A segment that the same view shows twice (two clips) is the mean of both.

    Args:
        results: longitudinal strain of one or more apical views.
        segment_count: 16, 17 or 18.
        value: name of a field of `StrainMeasures` that segments have.

    Raises:
        InputError: no results; results that are not longitudinal or not of an apical view; another segment count or
            value.
    """
    if not results:
        raise InputError("ventricle: give the strain of at least one apical view")
    if segment_count not in SEGMENT_COUNTS:
        raise InputError(f"segment_count must be one of 16, 17, 18, got {segment_count}")
    if value not in _VALUES:
        raise InputError(f"value must be one of {', '.join(_VALUES)}, got {value}")
    for result in results:
        if result.kind != "longitudinal" or result.view not in APICAL_VIEWS:
            raise InputError(
                f"ventricle: needs longitudinal strain of {', '.join(APICAL_VIEWS)},"
                f" got {result.kind} strain of {result.view}"
            )
    eighteen = _eighteen_segments(results, value)
    percent = eighteen if segment_count == 18 else _seventeen_segments(eighteen)[:segment_count]
    views = tuple(dict.fromkeys(result.view for result in results))
    notes = []
    missing = [view for view in APICAL_VIEWS if view not in views]
    if missing:
        notes.append(f"without {' and '.join(missing)} some segments are not known")
    if segment_count == 17:
        notes.append("segment 17 (apex) is the mean of the measured apical segments, not measured itself")
    by_view: dict[str, list[float]] = {}
    for result in results:
        if result.measures.gls_percent is not None:
            by_view.setdefault(result.view, []).append(result.measures.gls_percent)
    complete = sum(map(len, by_view.values())) == len(results)
    gls = float(np.mean([float(np.mean(values)) for values in by_view.values()])) if complete else None
    end_systolic = _eighteen_segments(results, "end_systolic_percent")
    measured = end_systolic[np.isfinite(end_systolic)]
    names = SEGMENT_NAMES_18 if segment_count == 18 else SEGMENT_NAMES[:segment_count]
    return LeftVentricleStrain(
        segment_count=segment_count,
        value=value,
        numbers=tuple(range(1, segment_count + 1)),
        names=names,
        percent=percent,
        views=views,
        gls_percent=gls,
        gls_segment_mean_percent=float(measured.mean()) if len(measured) else None,
        notes=tuple(notes),
    )


def _eighteen_segments(results: Sequence[StrainResult], value: str) -> np.ndarray:
    """Returns the values (18,) of the 18-segment model, NaN where unknown."""
    found: dict[int, list[float]] = {}
    for result in results:
        for number, measures in zip(segment_model(result.view).numbers_18, result.segment_measures, strict=True):
            measured = getattr(measures, value)
            if measured is not None:
                found.setdefault(number, []).append(measured)
    return np.array([np.mean(found[number]) if number in found else np.nan for number in range(1, 19)])


def _seventeen_segments(eighteen: np.ndarray) -> np.ndarray:
    """Returns the values (17,) of the 17-segment model from those of the 18-segment model.

    Numbers from 1: 13 apical anterior, 14 septal, 15 inferior, 16 lateral, 17 apex.
    """

    def mean(*values: float) -> float:
        known = [value for value in values if np.isfinite(value)]
        return float(np.mean(known)) if known else np.nan

    anterior, anteroseptal, inferoseptal, inferior, inferolateral, anterolateral = eighteen[12:]
    apical = [anterior, mean(anteroseptal, inferoseptal), inferior, mean(inferolateral, anterolateral)]
    return np.array([*eighteen[:12], *apical, mean(*apical)])
