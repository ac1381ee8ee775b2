"""Smoothing of displacements along the wall and in time."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.strain.curve_geometry import chord_lengths


def local_quadratic(places: np.ndarray, width: float, period: float | None = None) -> np.ndarray:
    """Returns the matrix (N, N) of local quadratic regression with a Gaussian weight (Cleveland and Devlin 1988).

    Constants, lines and parabolas pass unchanged, also at the ends, so that uniform strain is not reduced.

    Args:
        places: (N,) increasing positions of the values.
        width: standard deviation of the weight, in the units of the places; below about a third of a step the matrix
            is the identity.
        period: length of a closed contour, or None.
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
    *,
    wall_share: float,
    places: np.ndarray,
    time_width: float,
    closed: bool = False,
) -> np.ndarray:
    """Smooths the displacements of positions (T, N, 2) from a reference frame, which stays unchanged.

    Args:
        wall_share: width of the smoothing along the wall, as a fraction of the contour's length; 0 switches it off.
        places: (T,) frame times, or frame numbers.
        time_width: width of the smoothing in time, in the units of `places`; 0 switches it off.
    """
    displacement = positions - positions[reference_frame]
    if wall_share > 0:
        arc = np.concatenate([[0.0], np.cumsum(chord_lengths(positions[reference_frame], closed))])
        period = arc[-1] if closed else None
        along = local_quadratic(arc[:-1] if closed else arc, wall_share * arc[-1], period)
        displacement = along @ displacement
    known = np.flatnonzero(np.isfinite(displacement).all(axis=(1, 2)))
    if time_width > 0 and len(known) >= 5:
        displacement = displacement.copy()
        in_time = local_quadratic(np.asarray(places, dtype=np.float64)[known], time_width)
        displacement[known] = np.tensordot(in_time, displacement[known], axes=1)
    return positions[reference_frame] + displacement - displacement[reference_frame]
