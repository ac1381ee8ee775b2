"""The way back through a map of space that is known forwards only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

TOLERANCE_MM = 1e-4
"""Distance at which a point counts as found."""

_ITERATIONS = 60
_SLOWEST = 0.2

Map = Callable[[np.ndarray], np.ndarray]
"""Takes points (N, 3) in mm to points (N, 3)."""


@dataclass(frozen=True, eq=False)
class InvertedPoints:
    """Points that a map takes to given ones.

    Attributes:
        points_mm: (N, 3).
        residual_mm: (N,) distance of the map of each from the given point: 0 where the inverse is exact. It stays
            large where the map folds or takes nothing there.
    """

    points_mm: np.ndarray
    residual_mm: np.ndarray


def invert_points(
    forward: Map, points_mm: np.ndarray, start_mm: np.ndarray | None = None, *, tolerance_mm: float = TOLERANCE_MM
) -> InvertedPoints:
    """Finds the points that `forward` takes to the given ones, by fixed-point iteration x <- x - (forward(x) - y).

    It converges where the displacement changes by less than one mm per mm; the step is shortened for a point whose
    distance grows, and the best position of each point is kept.

    Args:
        points_mm: (N, 3) the points y.
        start_mm: (N, 3) where the search begins; 2 y - forward(y) when None.
        tolerance_mm: the search of a point ends at this distance.
    """
    wanted = np.asarray(points_mm, dtype=np.float64)
    found = np.array(2 * wanted - forward(wanted) if start_mm is None else start_mm, dtype=np.float64)
    residual = np.full(len(wanted), np.inf)
    step = np.ones(len(wanted))
    trial, active = found.copy(), np.arange(len(wanted))
    for _ in range(_ITERATIONS):
        if active.size == 0:
            break
        error = forward(trial[active]) - wanted[active]
        distance = np.linalg.norm(error, axis=1)
        better = distance < residual[active]
        found[active[better]], residual[active[better]] = trial[active[better]], distance[better]
        step[active[~better]] = np.maximum(step[active[~better]] * 0.7, _SLOWEST)
        trial[active] -= step[active, None] * error
        active = active[distance > tolerance_mm]
    return InvertedPoints(found, residual)
