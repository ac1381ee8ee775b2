"""Longitudinal strain from tracks along the wall of an apical view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.cardiac_events import CardiacEvents
from UltrasoundMotionLib.strain.contour_strain import contour_strain
from UltrasoundMotionLib.strain.ecg_trace import EcgTrace
from UltrasoundMotionLib.strain.measured_wall import measured_wall
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.strain_result import StrainResult
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


def longitudinal_strain(
    tracks: PointTracks,
    *,
    view: str = "A4C",
    events: CardiacEvents | None = None,
    config: StrainConfig | None = None,
    order: Sequence[str | int] | None = None,
    layer: str = "",
    apex_index: int | None = None,
    r_peaks_s: np.ndarray | None = None,
    ecg: EcgTrace | None = None,
    forward_backward_px: np.ndarray | None = None,
    trackers: Mapping[str, float] | None = None,
) -> StrainResult:
    """Change of the wall's length relative to end-diastole, of the whole contour and of its six segments.

    Strain is 100 (L(t) - L0) / L0 with L the length of the contour, or of the part of it that lies in a segment, and L0
    that at end-diastole (Voigt et al. 2015). Global strain is that of the whole contour; `measures` has the mean of
    segments beside it, the standard's second way.

    Args:
        tracks: points (x, y) in pixels along one layer of the wall, from one base over the apex to the other.
        view: A4C, A2C or APLAX.
        events: end-diastoles and end-systoles; None finds them (`find_events`).
        config: the choices; None is the defaults.
        order: labels or indices of the contour's points in order, where the tracks hold others too or in another order.
        layer: a name for the result ("endo", "mid", "epi").
        apex_index: index of the apex in the contour's order as given: each wall is then cut into its own thirds. None
            cuts the whole contour into sixths, the same where the apex is in its middle.
        r_peaks_s: times of the ECG's R peaks, in the clip's time.
        ecg: the ECG itself, where its R peaks are not known.
        forward_backward_px: (N,) error of tracking each point there and back, in the order of the tracks
            (`forward_backward_error`).
        trackers: end-systolic global strain by name, where other trackers followed the same wall.

    Raises:
        InputError: a contour of fewer than 6 points, crossing itself, with collapsed points, or not from base over apex
            to base; a short-axis view; no end-diastole and end-systole; events that do not exist; a frame of the cycle
            that was not tracked; arrays that do not fit.
    """
    model = segment_model(view)
    if model.closed:
        raise InputError(
            f"{model.view} is a short-axis view: use circumferential_strain; longitudinal strain needs A4C, A2C or APLAX"
        )
    wall = measured_wall(
        tracks,
        model,
        events=events,
        config=config,
        order=order,
        layer=layer,
        apex_index=apex_index,
        r_peaks_s=r_peaks_s,
        ecg=ecg,
        forward_backward_px=forward_backward_px,
    )
    return contour_strain(wall, "longitudinal", trackers)
