"""The 16, 17 and 18-segment left ventricle from several apical views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.segment_model import SEGMENT_NAMES, SEGMENT_NAMES_18, segment_model
from UltrasoundMotionLib.strain.strain_result import StrainResult

APICAL_VIEWS = ("A4C", "A2C", "APLAX")
SEGMENT_COUNTS = (16, 17, 18)
VALUES = (
    "end_systolic_percent",
    "peak_systolic_percent",
    "peak_percent",
    "post_systolic_percent",
    "post_systolic_index_percent",
    "time_to_peak_s",
)


@dataclass(frozen=True)
class LeftVentricleStrain:
    """One value for each segment of the left ventricle, and the means.

    Attributes:
        segment_count: 16, 17 or 18.
        value: which of `StrainMeasures` it is.
        numbers: 1 to `segment_count`.
        names: of the segments.
        percent: one for each segment, NaN where no view shows it or it was rejected (in seconds for `time_to_peak_s`).
        views: the views it was made from.
        gls_percent: mean of the views' end-systolic whole-contour strain (Voigt et al. 2015), or None when a view has
            none.
        gls_segment_mean_percent: mean end-systolic strain of all measured segments of all views, each once (the
            18-segment mean where three views are complete), so that no view counts more than its segments; None when
            there is no segment.
        notes: what a reader should know, one line each.
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
    """Puts apical views together.

    Three views of six segments show the 18-segment ventricle, each segment in one view. The 16- and 17-segment
    ventricles cut the apex into four (Cerqueira et al. 2002): apical septal is the mean of 18's apical inferoseptal
    (A4C) and anteroseptal (APLAX), apical lateral that of apical anterolateral (A4C) and inferolateral (APLAX), since
    three quarters of each of those lie in the larger segment; where only one of the two was measured it stands alone.
    Segment 17, the apical cap, is in no view's six segments: it is the mean of the measured segments 13 to 16, a
    derived value. A segment that the same view shows twice (two clips) is the mean of both.

    Args:
        results: longitudinal strain of one or more apical views.
        segment_count: 16, 17 or 18.
        value: a name of `StrainMeasures` that segments have.

    Raises:
        InputError: no results; results that are not longitudinal or not of an apical view; another segment count or
            value.
    """
    if not results:
        raise InputError("ventricle: give the strain of at least one apical view")
    if segment_count not in SEGMENT_COUNTS:
        raise InputError(f"segment_count must be one of 16, 17, 18, got {segment_count}")
    if value not in VALUES:
        raise InputError(f"value must be one of {', '.join(VALUES)}, got {value}")
    for result in results:
        if result.kind != "longitudinal" or result.view not in APICAL_VIEWS:
            raise InputError(
                f"ventricle: needs longitudinal strain of {', '.join(APICAL_VIEWS)}, got {result.kind} strain of {result.view}"
            )
    eighteen = _of_eighteen(results, value)
    percent = eighteen if segment_count == 18 else _of_seventeen(eighteen)[:segment_count]
    views = tuple(dict.fromkeys(result.view for result in results))
    notes = []
    missing = [view for view in APICAL_VIEWS if view not in views]
    if missing:
        notes.append(f"without {' and '.join(missing)} some segments are not known")
    if segment_count == 17:
        notes.append("segment 17 (apex) is the mean of the measured apical segments, not measured itself")
    global_strains = [result.measures.gls_percent for result in results]
    gls = (
        None
        if any(strain is None for strain in global_strains)
        else float(np.mean(_mean_by_view(results, global_strains)))
    )
    end_systolic = _of_eighteen(results, "end_systolic_percent")
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


def _mean_by_view(results: Sequence[StrainResult], values: Sequence[float | None]) -> list[float]:
    """One mean for each view, so that a view given twice does not count twice."""
    by_view: dict[str, list[float]] = {}
    for result, value in zip(results, values, strict=True):
        by_view.setdefault(result.view, []).append(value)
    return [float(np.mean(view_values)) for view_values in by_view.values()]


def _of_eighteen(results: Sequence[StrainResult], value: str) -> np.ndarray:
    """(18,) values, NaN where unknown."""
    found: dict[int, list[float]] = {}
    for result in results:
        for number, measures in zip(segment_model(result.view).numbers_18, result.segment_measures, strict=True):
            measured = getattr(measures, value)
            if measured is not None:
                found.setdefault(number, []).append(measured)
    return np.array([np.mean(found[number]) if number in found else np.nan for number in range(1, 19)])


def _of_seventeen(eighteen: np.ndarray) -> np.ndarray:
    """(17,) values from the 18-segment ones, numbers counted from 1: 13 anterior, 14 septal, 15 inferior, 16 lateral,
    17 apex.
    """

    def mean(*values: float) -> float:
        known = [value for value in values if np.isfinite(value)]
        return float(np.mean(known)) if known else np.nan

    anterior, anteroseptal, inferoseptal, inferior, inferolateral, anterolateral = eighteen[12:]
    apical = [anterior, mean(anteroseptal, inferoseptal), inferior, mean(inferolateral, anterolateral)]
    return np.array([*eighteen[:12], *apical, mean(*apical)])
