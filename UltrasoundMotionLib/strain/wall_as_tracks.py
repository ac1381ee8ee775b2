"""The contour that strain was measured on, as tracks: for pictures and scenes that show tracks."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.strain.strain_result import StrainResult
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


def wall_as_tracks(result: StrainResult) -> PointTracks:
    """The points in the contour's order, gaps bridged; query frame is the measured cycle's end-diastole."""
    known = np.isfinite(result.positions_px).all(axis=2)
    return PointTracks(
        positions_px=result.positions_px,
        confidence=known.astype(np.float64),
        visible=known,
        labels=result.point_labels,
        query_frame=result.cycle.reference_frame,
        times_s=result.times_s,
        spacing_mm=result.spacing_mm,
        model=result.model,
    )
