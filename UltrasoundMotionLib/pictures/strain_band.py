"""The band around a wall contour that is coloured by strain, in figures and in a scene."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.strain.wall_layers import offset_contour

_RELATIVE_HALF_WIDTH = 0.055
"""Half the band's width over the distance from the apex to the middle of the base; about half the wall's thickness."""


def band_half_width(contour_px: np.ndarray, pixel_mm: tuple[float, float] = (1.0, 1.0)) -> float:
    """Returns half the band's width for a contour (N, 2) in pixels, base to base, in the unit of `pixel_mm`.

    Points with NaN are ignored.
    """
    points = np.asarray(contour_px)[np.isfinite(contour_px).all(axis=1)] * pixel_mm
    if len(points) < 3:
        return 1.0
    base = (points[0] + points[-1]) / 2
    return float(_RELATIVE_HALF_WIDTH * np.linalg.norm(points - base, axis=1).max())


def wall_band(
    contour_px: np.ndarray, half_width: float, pixel_mm: tuple[float, float] = (1.0, 1.0)
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the two edges (N, 2) of the band, in pixels, around a contour (N, 2) in pixels.

    The edges are at `half_width` (in the unit of `pixel_mm`) on the normal of the line through a point's neighbours;
    NaN where a point or one of its neighbours is NaN.
    """
    return offset_contour(contour_px, -half_width, pixel_mm), offset_contour(contour_px, half_width, pixel_mm)
