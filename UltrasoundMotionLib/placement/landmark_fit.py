"""Rigid or similarity transform between two sets of landmarks, with its residual.

Least squares by singular value decomposition: Arun et al. 1987; with scale and the right handedness: Umeyama 1991. The
residual is the fiducial registration error; how far off other places are is more (Fitzpatrick et al. 1998).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError

_FEWEST = 3
_THIN = 0.05
"""Points whose spread across their line is less than this share of that along it do not fix the turn around it."""


@dataclass(frozen=True, eq=False)
class LandmarkFit:
    """A transform that puts landmarks onto others.

    Attributes:
        matrix: (4, 4) from the first set to the second.
        scale: 1 unless it was fitted.
        residuals_mm: (N,) distance of each landmark from its partner afterwards.
    """

    matrix: np.ndarray
    scale: float
    residuals_mm: np.ndarray

    @property
    def rms_mm(self) -> float:
        """Root mean square of the residuals."""
        return float(np.sqrt(np.mean(self.residuals_mm**2)))


def fit_landmarks(source: np.ndarray, target: np.ndarray, *, scale: bool = False) -> LandmarkFit:
    """Fits a rigid transform, which never mirrors, in the least squares sense.

    Args:
        source, target: (N, 3) mm, in the same order.
        scale: also fit one factor for all directions.

    Raises:
        InputError: fewer than three pairs, points that are not finite, or points on a line (or one spot), which leave
            the turn around it open.
    """
    source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.ndim != 2 or source.shape != target.shape or source.shape[1:] != (3,):
        raise InputError(f"landmarks must be (N, 3) twice, got {source.shape} and {target.shape}")
    if len(source) < _FEWEST:
        raise InputError(f"{len(source)} pairs of landmarks do not fix a place; give at least {_FEWEST}")
    if not (np.all(np.isfinite(source)) and np.all(np.isfinite(target))):
        raise InputError("a landmark has no position")
    middle, other = source.mean(axis=0), target.mean(axis=0)
    centred, wanted = source - middle, target - other
    for name, points in (("clip", centred), ("volume", wanted)):
        spread = np.linalg.svd(points, compute_uv=False)
        if spread[1] <= _THIN * spread[0]:
            raise InputError(
                f"the landmarks of the {name} lie on a line, so the turn around it is open; add one beside it"
            )
    left, strengths, right = np.linalg.svd(wanted.T @ centred)
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left) * np.linalg.det(right))])
    turn = left * signs @ right
    factor = float((strengths * signs).sum() / (centred**2).sum()) if scale else 1.0
    matrix = np.eye(4)
    matrix[:3, :3] = factor * turn
    matrix[:3, 3] = other - factor * turn @ middle
    moved = source @ matrix[:3, :3].T + matrix[:3, 3]
    return LandmarkFit(matrix, factor, np.linalg.norm(moved - target, axis=1))
