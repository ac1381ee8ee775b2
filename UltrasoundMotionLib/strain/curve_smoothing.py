"""Smoothing of displacements along the wall and in time, for curves that are shown beside the raw ones."""

from __future__ import annotations

import numpy as np


def local_quadratic(places: np.ndarray, width: float, period: float | None = None) -> np.ndarray:
    """(N, N) matrix that smooths values at (N,) increasing places by weighted local parabolas (Cleveland and Devlin 1988, with a Gaussian weight).

    Constants, lines and parabolas pass unchanged, also at the ends, so that uniform strain is not reduced.

    Args:
        width: standard deviation of the weight, in the units of the places; neighbours nearer than about a third of a step give the identity.
        period: length of a ring, or None.
    """
    difference = places[None, :] - places[:, None]
    if period is not None:
        difference = (difference + period / 2) % period - period / 2
    # At least the nearest three places must carry weight, or a parabola is not determined.
    nearest = np.sort(np.abs(difference), axis=1)[:, min(4, len(places) - 1)]
    scale = np.maximum(width, nearest / 4)[:, None]
    weight = np.exp(-0.5 * (difference / scale) ** 2)
    u = difference / scale
    moments = np.stack([np.sum(weight * u**power, axis=1) for power in range(5)], axis=1)
    normal = moments[:, np.arange(3)[:, None] + np.arange(3)[None, :]]
    first = np.linalg.solve(normal, np.broadcast_to(np.array([[1.0], [0.0], [0.0]]), (len(places), 3, 1)))[..., 0]
    return weight * (first[:, 0:1] + first[:, 1:2] * u + first[:, 2:3] * u**2)


def smooth_positions(
    positions: np.ndarray,
    reference_frame: int,
    arc: np.ndarray,
    width: float,
    time_places: np.ndarray,
    time_width: float,
    period: float | None = None,
) -> np.ndarray:
    """(T, N, 2) positions whose displacements from the reference frame are smoothed along the wall and in time.

    Args:
        arc: (N,) distance along the contour on the reference frame.
        width: of the smoothing along the wall; 0 leaves it out.
        time_places: (T,) frame times, or frame numbers.
        time_width: of the smoothing in time; 0 leaves it out.
        period: length of a ring, or None.
    """
    displacement = positions - positions[reference_frame]
    if width > 0:
        displacement = np.einsum("nm,tmc->tnc", local_quadratic(arc, width, period), displacement)
    known = np.flatnonzero(np.isfinite(displacement).all(axis=(1, 2)))
    if time_width > 0 and len(known) >= 5:
        displacement = displacement.copy()
        displacement[known] = np.einsum(
            "ts,snc->tnc", local_quadratic(np.asarray(time_places, dtype=np.float64)[known], time_width), displacement[known]
        )
    return positions[reference_frame] + displacement
