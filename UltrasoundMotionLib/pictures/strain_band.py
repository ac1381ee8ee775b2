"""The wall as a band around its contour: what is coloured by strain, in pictures and in a scene."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.strain.wall_layers import offset_contour

BAND_SHARE = 0.055
"""Half the band's width over the distance from the apex to the base's middle; about half of a wall's thickness."""


def band_half_width(contour_px: np.ndarray, pixel_mm: tuple[float, float] = (1.0, 1.0)) -> float:
    """Half the width for a contour (N, 2) in pixels, base to base: in mm, or in pixels where those are the unit.

    The contour's points may hold NaN; those do not count.
    """
    places = np.asarray(contour_px)[np.isfinite(contour_px).all(axis=1)] * pixel_mm
    if len(places) < 3:
        return 1.0
    base = (places[0] + places[-1]) / 2
    return float(BAND_SHARE * np.linalg.norm(places - base, axis=1).max())


def wall_band(
    contour_px: np.ndarray, half_width: float, pixel_mm: tuple[float, float] = (1.0, 1.0)
) -> tuple[np.ndarray, np.ndarray]:
    """The two edges (N, 2) of the band, in pixels, `half_width` (in the unit of `pixel_mm`) to either side of a contour
    (N, 2) in pixels.

    Every point has an edge on the normal of the line through its neighbours; NaN where a point or one of its neighbours
    is NaN.
    """
    return offset_contour(contour_px, -half_width, pixel_mm), offset_contour(contour_px, half_width, pixel_mm)
