"""Strain along a measured contour, open or closed: the way that longitudinal and circumferential strain share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from UltrasoundMotionLib.strain.measured_wall import MeasuredWall
from UltrasoundMotionLib.strain.strain_assembly import assembled_strain
from UltrasoundMotionLib.strain.strain_curves import lengths_along
from UltrasoundMotionLib.strain.strain_result import StrainResult
from UltrasoundMotionLib.strain.strain_uncertainty import global_uncertainty


def contour_strain(wall: MeasuredWall, kind: str, trackers: Mapping[str, float] | None = None) -> StrainResult:
    """Strain of the contour's length, with its uncertainty; `trackers` as in `longitudinal_strain`."""
    closed = wall.model.closed
    smooth = wall.smooth_positions
    smooth_lengths = None if smooth is None else lengths_along(smooth, wall.shares, closed)
    result = assembled_strain(wall, kind, lengths_along(wall.positions, wall.shares, closed), smooth_lengths)
    if result.measures.gls_percent is None or not wall.config.bootstrap_replicates:
        return result
    accepted = np.array([segment.accepted for segment in wall.quality], dtype=np.float64)
    return replace(result, uncertainty=global_uncertainty(wall, wall.shares @ accepted, result.measures, trackers))
