"""Circumferential strain from tracks around the wall of a short-axis view."""

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
    """Change of the ring's circumference relative to end-diastole, of the whole ring and of its segments (Voigt et al.
    2015).

    `measures.gls_percent` holds global circumferential strain at end-systole.

    Args:
        tracks: points (x, y) in pixels around one layer of the wall; the first lies at the anterior insertion of the
            right ventricle, the last beside it. Rings that run clockwise are turned around unless the configuration's
            orientation is "as given".
        view: SAX-base, SAX-mid (or SAX), SAX-apex.
        events, config, order, layer, r_peaks_s, ecg, forward_backward_px, trackers: as `longitudinal_strain`.

    Raises:
        InputError: as `longitudinal_strain`; an apical view.
    """
    model = segment_model(view)
    if not model.closed:
        raise InputError(
            f"{model.view} is an apical view: use longitudinal_strain; circumferential strain needs SAX-base, SAX-mid or SAX-apex"
        )
    wall = measured_wall(
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
    return contour_strain(wall, "circumferential", trackers)
