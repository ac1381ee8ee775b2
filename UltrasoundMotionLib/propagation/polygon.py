"""The points within a polygon."""

from __future__ import annotations

import numpy as np


def inside_polygon(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Returns True (M,) for points (M, 2) within a polygon (N, 2), by the number of sides to the right of each."""
    x, y = np.asarray(points, dtype=np.float64).T
    inside = np.zeros(len(x), dtype=bool)
    corners = np.asarray(corners, dtype=np.float64)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        crosses = (y0 > y) != (y1 > y)
        inside[crosses] ^= x[crosses] < x0 + (y[crosses] - y0) * (x1 - x0) / (y1 - y0)
    return inside
