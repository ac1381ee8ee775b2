"""Longitudinal and circumferential strain: the change of length along a tracked contour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.cardiac_events import CardiacEvents
from UltrasoundMotionLib.strain.ecg_trace import EcgTrace
from UltrasoundMotionLib.strain.measured_wall import MeasuredWall, measure_wall
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.strain_curves import assemble_strain, lengths_along
from UltrasoundMotionLib.strain.strain_result import StrainResult
from UltrasoundMotionLib.strain.strain_uncertainty import global_uncertainty
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
    """Computes longitudinal strain of an apical view: of the whole wall and of its six segments.

    Strain is 100 (L(t) - L0) / L0 with L the length of the contour, or of its part in a segment, and L0 that length at
    end-diastole (Voigt et al. 2015). Global strain is the strain of the whole contour; `measures` has the mean of the
    segments beside it, the standard's second definition.

    Args:
        tracks: points (x, y) in pixels along one layer of the wall, from one base over the apex to the other.
        view: A4C, A2C or APLAX.
        events: end-diastoles and end-systoles; None finds them (`find_events`).
        config: settings; None is the defaults.
        order: labels or indices of the contour's points in order, where the tracks hold others too or in another order.
        layer: a name for the result ("endo", "mid", "epi").
        apex_index: index of the apex in the contour's order as given: each wall is then cut into its own thirds. None
            cuts the whole contour into sixths, the same where the apex is in its middle.
        r_peaks_s: times of the ECG's R peaks, on the clip's time axis.
        ecg: the ECG itself, where its R peaks are not known.
        forward_backward_px: (N,) forward-backward error of each point, in the order of the tracks
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
            f"{model.view} is a short-axis view: use circumferential_strain; longitudinal strain needs A4C, A2C or"
            " APLAX"
        )
    wall = measure_wall(
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
    return contour_strain(wall, trackers)


def circumferential_strain(
    tracks: PointTracks,
    *,
    view: str = "SAX-mid",
    events: CardiacEvents | None = None,
    config: StrainConfig | None = None,
    order: Sequence[str | int] | None = None,
    layer: str = "",
    r_peaks_s: np.ndarray | None = None,
    ecg: EcgTrace | None = None,
    forward_backward_px: np.ndarray | None = None,
    trackers: Mapping[str, float] | None = None,
) -> StrainResult:
    """Computes circumferential strain of a short-axis view: of the whole ring and of its segments (Voigt et al. 2015).

    It is the change of circumference relative to end-diastole; `measures.gls_percent` holds global circumferential
    strain at end-systole.

    Args:
        tracks: points (x, y) in pixels around one layer of the wall; the first lies at the anterior insertion of the
            right ventricle, the last beside it. Clockwise rings are reversed unless the configuration's orientation is
            "as given".
        view: SAX-base, SAX-mid (or SAX), SAX-apex.
        events, config, order, layer, r_peaks_s, ecg, forward_backward_px, trackers: as in `longitudinal_strain`.

    Raises:
        InputError: an apical view; otherwise as in `longitudinal_strain`.
    """
    model = segment_model(view)
    if not model.closed:
        raise InputError(
            f"{model.view} is an apical view: use longitudinal_strain; circumferential strain needs SAX-base, SAX-mid"
            " or SAX-apex"
        )
    wall = measure_wall(
        tracks,
        model,
        events=events,
        config=config,
        order=order,
        layer=layer,
        r_peaks_s=r_peaks_s,
        ecg=ecg,
        forward_backward_px=forward_backward_px,
    )
    return contour_strain(wall, trackers)


def contour_strain(wall: MeasuredWall, trackers: Mapping[str, float] | None = None) -> StrainResult:
    """Computes the strain of a contour's length, with its uncertainty: circumferential where closed, else longitudinal.

    Args:
        trackers: as in `longitudinal_strain`.
    """
    closed = wall.model.closed
    smooth = wall.smooth_positions
    smooth_lengths = None if smooth is None else lengths_along(smooth, wall.shares, closed)
    kind = "circumferential" if closed else "longitudinal"
    result = assemble_strain(wall, kind, lengths_along(wall.positions, wall.shares, closed), smooth_lengths)
    return replace(result, uncertainty=global_uncertainty(wall, result, trackers))
