"""Coherent point drift (Myronenko and Song, TPAMI 2010), non-rigid: a smooth displacement from one set of points to
another, known everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError


@dataclass(frozen=True)
class PointDriftSettings:
    """Settings, by default those of the authors' program.

    Attributes:
        width: beta, of the Gaussian kernel, where both sets have mean 0 and deviation 1.
        stiffness: lambda, the weight of smoothness.
        outliers: expected share of points without a partner.
        iterations: at most.
        tolerance: relative change of sigma^2 at which the iteration ends.
    """

    width: float = 2.0
    stiffness: float = 3.0
    outliers: float = 0.1
    iterations: int = 150
    tolerance: float = 1e-5


DEFAULT_SETTINGS = PointDriftSettings()


@dataclass(frozen=True, eq=False)
class PointDrift:
    """A displacement that is known everywhere.

    Attributes:
        points: (M, n) normalised points that were moved.
        weights: (M, n) of the kernels around them.
        origin, target: (mean, scale) of both sets.
        width: of the kernel.
    """

    points: np.ndarray
    weights: np.ndarray
    origin: tuple[np.ndarray, float]
    target: tuple[np.ndarray, float]
    width: float

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Returns where points (K, n) move to."""
        mean, scale = self.origin
        normal = (points - mean) / scale
        moved = normal + _kernel(normal, self.points, self.width) @ self.weights
        return moved * self.target[1] + self.target[0]


def point_drift(points: np.ndarray, target: np.ndarray, settings: PointDriftSettings = DEFAULT_SETTINGS) -> PointDrift:
    """Moves points (M, n) onto a target (N, n), coherently; which of them are partners is found.

    Raises:
        InputError: sets of another shape, or of fewer than three points.
    """
    if points.ndim != 2 or target.ndim != 2 or points.shape[1] != target.shape[1] or min(len(points), len(target)) < 3:
        raise InputError(
            f"point drift: two sets of three points or more are needed, got {points.shape} and {target.shape}"
        )
    origin, goal = _frame(points), _frame(target)
    moving, fixed = (points - origin[0]) / origin[1], (target - goal[0]) / goal[1]
    (count, dimension), others = moving.shape, len(fixed)
    kernel, weights = _kernel(moving, moving, settings.width), np.zeros_like(moving)
    moved = moving
    variance = _distances(fixed, moved).sum() / (dimension * count * others)
    for _ in range(settings.iterations):
        share = np.exp(-_distances(fixed, moved) / (2 * variance))
        spread = (2 * np.pi * variance) ** (dimension / 2) * settings.outliers / (1 - settings.outliers)
        share /= share.sum(1, keepdims=True) + spread * count / others
        mass, goals = share.sum(0), share.T @ fixed
        weights = np.linalg.solve(
            mass[:, None] * kernel + settings.stiffness * variance * np.eye(count), goals - mass[:, None] * moving
        )
        moved = moving + kernel @ weights
        before = variance
        variance = max((share * _distances(fixed, moved)).sum() / (share.sum() * dimension), 1e-8)
        if abs(variance - before) < settings.tolerance * before:
            break
    return PointDrift(moving, weights, origin, goal, settings.width)


def _frame(points: np.ndarray) -> tuple[np.ndarray, float]:
    mean = points.mean(0)
    return mean, float(np.sqrt(np.square(points - mean).sum() / len(points)))


def _distances(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    return np.square(points[:, None] - others[None]).sum(2)


def _kernel(points: np.ndarray, others: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-_distances(points, others) / (2 * width**2))
