"""Strain and the measures of its curve, by their standard definitions.

Voigt et al. 2015: "Definitions for a common standard for 2D speckle tracking echocardiography: consensus document of
the EACVI/ASE/Industry Task Force to standardize deformation imaging", Eur Heart J Cardiovasc Imaging 16:1-11. All
strain here is in percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle


def lagrangian_percent(length: np.ndarray, reference_length: np.ndarray | float) -> np.ndarray:
    """Returns Lagrangian strain 100 (L(t) - L0) / L0, relative to end-diastole (Voigt et al. 2015)."""
    return 100.0 * (np.asarray(length) / reference_length - 1.0)


def natural_percent(lagrangian: np.ndarray) -> np.ndarray:
    """Returns natural strain 100 ln(L(t) / L0) from Lagrangian strain (Voigt et al. 2015)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return 100.0 * np.log1p(np.asarray(lagrangian) / 100.0)


def rate_per_s(strain_percent: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Returns the time derivative of strain (T, ...) in 1/s, with the true frame times.

    Second-order differences for uneven steps (`numpy.gradient`). For Lagrangian strain it is (dL/dt) / L0, for natural
    strain (dL/dt) / L, which is the strain rate of Doppler (D'hooge et al. 2000, "Regional strain and strain rate
    measurements by cardiac ultrasound").
    """
    if len(times_s) < 3:
        return np.full(np.shape(strain_percent), np.nan)
    return np.gradient(np.asarray(strain_percent) / 100.0, np.asarray(times_s), axis=0, edge_order=2)


@dataclass(frozen=True)
class StrainMeasures:
    """Measures of one strain curve in one cycle; None where the clip does not show them or tracking failed.

    Definitions are those of Voigt et al. 2015 unless another source is named. For shortening (longitudinal,
    circumferential) the peak is the most negative value; for thickening (radial, transverse) the most positive one.

    Attributes:
        end_systolic_percent: strain at end-systole.
        peak_systolic_percent: peak from end-diastole to end-systole.
        positive_peak_percent: largest stretching in systole (for thickening: most negative value), 0 when there is
            none.
        peak_percent: peak of the whole cycle.
        post_systolic_percent: peak after end-systole.
        post_systolic_index_percent: 100 (peak - end-systolic) / peak when the peak comes after end-systole, else 0
            (Kukulski et al. 2003; the same in doi:10.1371/journal.pone.0273419).
        time_to_peak_s: from end-diastole to `peak_percent`; None where frame times are unknown.
        frames_to_peak: frames from end-diastole to `peak_percent`.
        peak_systolic_rate_per_s: fastest Lagrangian shortening (thickening) in systole; None where frame times are
            unknown.
        peak_diastolic_rate_per_s: fastest lengthening (thinning) after end-systole.
        drift_percent: strain at the next end-diastole, before any compensation; None for an incomplete cycle.
    """

    end_systolic_percent: float | None = None
    peak_systolic_percent: float | None = None
    positive_peak_percent: float | None = None
    peak_percent: float | None = None
    post_systolic_percent: float | None = None
    post_systolic_index_percent: float | None = None
    time_to_peak_s: float | None = None
    frames_to_peak: int | None = None
    peak_systolic_rate_per_s: float | None = None
    peak_diastolic_rate_per_s: float | None = None
    drift_percent: float | None = None


@dataclass(frozen=True)
class GlobalStrainMeasures(StrainMeasures):
    """Measures of the whole contour.

    Attributes:
        gls_percent: global strain at end-systole from the length of the whole contour, the standard's first definition;
            `end_systolic_percent`.
        gls_segment_mean_percent: the mean of the accepted segments' end-systolic strain, the standard's second
            definition.
    """

    gls_percent: float | None = None
    gls_segment_mean_percent: float | None = None


@dataclass(frozen=True)
class SegmentStrainMeasures(StrainMeasures):
    """Measures of one segment.

    Attributes:
        name: the segment's name.
        number: its number in the 17-segment model.
    """

    name: str = ""
    number: int = 0


def measure_curve(
    strain_percent: np.ndarray,
    cycle: CardiacCycle,
    times_s: np.ndarray | None,
    drift_percent: float,
    thickening: bool = False,
) -> dict[str, Any]:
    """Returns the values of `StrainMeasures` of a curve (T,) that is 0 at the reference frame; empty where unknown."""
    curve = np.asarray(strain_percent, dtype=np.float64)
    inside = curve[cycle.first_frame : cycle.last_frame + 1]
    if not np.all(np.isfinite(inside)):
        return {}
    sign = -1.0 if thickening else 1.0  # makes the peak a minimum
    end_systole = cycle.end_systole_frame
    values: dict[str, Any] = {
        "end_systolic_percent": float(curve[end_systole]),
        "drift_percent": float(drift_percent) if np.isfinite(drift_percent) else None,
    }
    systole, diastole = curve[cycle.first_frame : end_systole + 1], curve[end_systole + 1 : cycle.last_frame + 1]
    rate = None if times_s is None else rate_per_s(curve, times_s)
    if cycle.whole_systole:
        values["peak_systolic_percent"] = float(sign * np.min(sign * systole))
        values["positive_peak_percent"] = float(sign * np.max(sign * systole))
        if rate is not None:
            values["peak_systolic_rate_per_s"] = float(sign * np.min(sign * rate[cycle.first_frame : end_systole + 1]))
    if len(diastole):
        values["post_systolic_percent"] = float(sign * np.min(sign * diastole))
        if rate is not None:
            values["peak_diastolic_rate_per_s"] = float(
                sign * np.max(sign * rate[end_systole + 1 : cycle.last_frame + 1])
            )
    if cycle.whole_systole and len(diastole):
        peak_frame = cycle.first_frame + int(np.argmin(sign * inside))
        peak = float(curve[peak_frame])
        values["peak_percent"], values["frames_to_peak"] = peak, peak_frame - cycle.reference_frame
        if times_s is not None:
            values["time_to_peak_s"] = float(times_s[peak_frame] - times_s[cycle.reference_frame])
        if sign * peak < 0:
            values["post_systolic_index_percent"] = (
                100.0 * (peak - float(curve[end_systole])) / peak if peak_frame > end_systole else 0.0
            )
    return values
