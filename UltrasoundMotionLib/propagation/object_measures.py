"""Length, area and volume of curves and surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def polyline_length_mm(points_mm: np.ndarray, *, closed: bool = False) -> float:
    """Returns the length of the line through points (N, 3), back to the first one where closed."""
    points = np.asarray(points_mm, dtype=np.float64)
    if closed and len(points) > 0:
        points = np.vstack([points, points[:1]])
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def enclosed_area_mm2(points_mm: np.ndarray) -> float:
    """Returns the area within a closed line (N, 3), projected to the plane that it encloses most of (Newell)."""
    points = np.asarray(points_mm, dtype=np.float64)
    if len(points) < 3:
        return 0.0
    centred = points - points.mean(axis=0)
    return float(np.linalg.norm(np.cross(centred, np.roll(centred, -1, axis=0)).sum(axis=0)) / 2)


@dataclass(frozen=True)
class MeshMeasures:
    """Measures of a surface of triangles.

    Attributes:
        area_mm2: of all triangles.
        volume_mm3: enclosed by the surface; None where it is not closed.
    """

    area_mm2: float
    volume_mm3: float | None


def mesh_measures(points_mm: np.ndarray, triangles: np.ndarray) -> MeshMeasures:
    """Returns area and volume (by the divergence theorem) of a surface.

    It is closed where each edge belongs to exactly two triangles.

    Args:
        points_mm: (N, 3).
        triangles: (M, 3) numbers of points, of one orientation.
    """
    if len(triangles) == 0:
        return MeshMeasures(0.0, None)
    first, second, third = (np.asarray(points_mm, dtype=np.float64)[triangles[:, corner]] for corner in range(3))
    area = float(np.linalg.norm(np.cross(second - first, third - first), axis=1).sum() / 2)
    ends = triangles.astype(np.int64), np.roll(triangles, -1, axis=1).astype(np.int64)
    edges = np.sort((np.minimum(*ends) * len(points_mm) + np.maximum(*ends)).ravel())
    if len(edges) % 2 or (edges[::2] != edges[1::2]).any() or (edges[1:-1:2] == edges[2::2]).any():
        return MeshMeasures(area, None)
    middle = first.mean(axis=0)
    volume = np.einsum("ij,ij->i", first - middle, np.cross(second - middle, third - middle)).sum() / 6
    return MeshMeasures(area, abs(float(volume)))
