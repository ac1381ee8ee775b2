"""Analytic motion: a closed-form map from material positions to positions at a time, and its inverse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from UltrasoundMotionLib.errors import InputError


class TissueMotion(Protocol):
    """The motion of a material through time. All positions are (N, 2) float64 in mm in the probe frame."""

    def carry(self, material_mm: np.ndarray) -> Callable[[float], np.ndarray]:
        """Returns a function of time in seconds for the positions of (N, 2) material points."""
        ...

    def elevation(self, material_mm: np.ndarray) -> Callable[[float], np.ndarray]:
        """Returns a function of time for the distances (N,) of material points from the image plane, in mm."""
        ...


def trajectories(motion: TissueMotion, material_mm: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Returns the positions (T, N, 2) of (N, 2) material points at (T,) times."""
    positions = motion.carry(np.asarray(material_mm, dtype=np.float64))
    return np.stack([positions(float(time)) for time in times_s])


def extreme_times(motion: TissueMotion, material_mm: np.ndarray, times_s: np.ndarray) -> np.ndarray:
    """Returns the times at which the mean of (N, 2) material points is farthest in each of eight directions.

    Chosen from about 48 of the (T,) times.
    """
    sampled = times_s[:: max(1, len(times_s) // 48)]
    mean = trajectories(motion, material_mm, sampled).mean(axis=1)
    angles = np.arange(8) * np.pi / 4
    farthest = np.argmax(mean @ np.stack([np.cos(angles), np.sin(angles)]), axis=0)
    return sampled[np.unique(farthest)]


def material_points(
    motion: TissueMotion, positions_mm: np.ndarray, time_s: float, tolerance_mm: float = 1e-9, iterations: int = 60
) -> np.ndarray:
    """Inverts a motion by damped Newton steps: the material points (N, 2) that are at (N, 2) positions at a time.

    Points that do not converge (only where the map is not smooth, outside the tissue) keep their best estimate.

    Raises:
        InputError: the positions are not finite.
    """
    target = np.asarray(positions_mm, dtype=np.float64)
    if target.ndim != 2 or target.shape[1] != 2 or not np.all(np.isfinite(target)):
        raise InputError(f"points must be (N, 2) finite numbers, got shape {target.shape}")
    material = target.copy()
    best, best_error = material.copy(), np.full(len(target), np.inf)
    active = np.arange(len(target))
    step = 1e-5
    for iteration in range(iterations):
        here = material[active]
        residual = motion.carry(here)(time_s) - target[active]
        error = np.hypot(*residual.T)
        better = error < best_error[active]
        best[active[better]], best_error[active[better]] = here[better], error[better]
        unfinished = error > tolerance_mm
        if not np.any(unfinished):
            break
        active, here, residual = active[unfinished], here[unfinished], residual[unfinished]
        shifts = np.array([[step, 0.0], [0.0, step]])
        (a, c), (b, d) = (
            ((motion.carry(here + shift)(time_s) - motion.carry(here - shift)(time_s)) / (2 * step)).T
            for shift in shifts
        )
        determinant = a * d - b * c
        determinant = np.where(np.abs(determinant) < 0.05, 0.05, determinant)
        update = np.stack(
            [
                (d * residual[:, 0] - b * residual[:, 1]) / determinant,
                (a * residual[:, 1] - c * residual[:, 0]) / determinant,
            ],
            axis=1,
        )
        length = np.hypot(*update.T)[:, None]
        # long steps can oscillate across a discontinuity of the derivative; later steps are halved
        update *= np.minimum(1.0, 5.0 / np.maximum(length, 1e-12)) * (1.0 if iteration < iterations // 2 else 0.5)
        material[active] = here - update
    return best
