"""How far a set of tracked points has turned."""

from __future__ import annotations

import numpy as np


def fit_rotation(fixed: np.ndarray, moved: np.ndarray) -> tuple[float, float]:
    """Least-squares rotation and shift (no scale) that carries points `fixed` (N, 2) to `moved` (N, 2) (Kabsch 1976;
    Umeyama 1991, scale 1).

    Returns:
        The angle in degrees, positive from the x axis towards the y axis, and the root mean square distance that
        remains, in pixels.
    """
    from_points = fixed - fixed.mean(axis=0)
    to_points = moved - moved.mean(axis=0)
    covariance = from_points.T @ to_points
    angle = np.arctan2(covariance[0, 1] - covariance[1, 0], covariance[0, 0] + covariance[1, 1])
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    remaining = to_points - from_points @ rotation
    return float(np.degrees(angle)), float(np.sqrt(np.mean(np.sum(remaining**2, axis=1))))


def rotation_per_frame(positions_px: np.ndarray, query_frame: int = 0) -> tuple[float, float]:
    """Degrees per frame of points (T, N, 2), by least squares over all frames through zero at the query frame; and the
    mean distance that remains.
    """
    fits = np.array([fit_rotation(positions_px[query_frame], frame) for frame in positions_px])
    lag = np.arange(len(positions_px)) - query_frame
    return float(lag @ fits[:, 0] / (lag @ lag)), float(fits[lag != 0, 1].mean())
