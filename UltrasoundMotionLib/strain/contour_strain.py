"""Strain along a measured contour, open or closed: the way that longitudinal and circumferential strain share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

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
    return replace(result, uncertainty=global_uncertainty(wall, result, trackers))
