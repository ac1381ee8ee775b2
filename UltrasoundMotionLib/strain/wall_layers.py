"""The three layers of the wall: a contour as the middle one, and one at half the wall's thickness on either side."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.curve_geometry import check_contour, signed_area
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.strain.wall_contour import WallContour

LAYER_NAMES = ("endo", "mid", "epi")
"""Names of the layers, from the inner to the outer one."""
MIDDLE_LAYER = "mid"


def wall_layers(contour: WallContour, thickness: float | None = None) -> dict[str, np.ndarray]:
    """Returns the points (N, 2) in pixels of each layer by name, inner layer first, in the contour's order.

    Args:
        thickness: thickness of the wall in mm, or in pixels where the contour's spacing is unknown; None gives the
            contour alone, as "mid".

    Raises:
        InputError: a thickness that is not positive, or so large that a layer would cross itself.
    """
    if thickness is None:
        return {MIDDLE_LAYER: contour.points_px}
    if not 0 < thickness < np.inf:
        raise InputError(f"thickness must be positive, got {thickness}")
    closed = segment_model(contour.view).closed
    sides = [
        offset_contour(contour.points_px, side * thickness / 2, contour.spacing_mm or (1.0, 1.0), closed)
        for side in (-1.0, 1.0)
    ]
    inner, outer = sorted(sides, key=lambda points: abs(signed_area(points)))
    layers = dict(zip(LAYER_NAMES, (inner, contour.points_px, outer), strict=True))
    for name, points in layers.items():
        title = f"{name} layer of a wall {thickness:g} thick"
        if np.any(np.sum(np.diff(points, axis=0) * np.diff(contour.points_px, axis=0), axis=1) <= 0):
            raise InputError(
                f"{title}: turns back where the contour is narrow or bends sharply; give a smaller thickness"
            )
        check_contour(points, closed, title)
    return layers


def offset_contour(
    points_px: np.ndarray, distance: float, pixel_mm: tuple[float, float] = (1.0, 1.0), closed: bool = False
) -> np.ndarray:
    """Moves every point (N, 2) by `distance` along the normal of the line through its neighbours; returns pixels.

    Positive is to the left of the direction along the contour, as seen in the image (y down).

    Args:
        distance: in the unit of `pixel_mm`.
    """
    places = np.asarray(points_px, dtype=np.float64) * pixel_mm
    tangent = np.roll(places, -1, axis=0) - np.roll(places, 1, axis=0) if closed else np.gradient(places, axis=0)
    length = np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1) / np.where(length > 0, length, 1.0)
    return (places + distance * normal) / pixel_mm
