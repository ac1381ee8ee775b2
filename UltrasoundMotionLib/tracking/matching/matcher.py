"""Template matching: the contract of a matcher, and the certainty of a match of correlated speckle."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import numpy as np

from UltrasoundMotionLib.tracking.matching.image_pyramid import ImagePyramid

T = TypeVar("T", bound="Templates")


@dataclass(frozen=True)
class Match:
    """Positions at which templates were found.

    Attributes:
        points: (N, 2) px, the maximum a posteriori position.
        covariance: (N, 2, 2) px^2 of that position.
        correlation: (N,) in [-1, 1] on the finest level.
        information: (N, 2, 2) px^-2 from the finest level alone, without the prior.
    """

    points: np.ndarray
    covariance: np.ndarray
    correlation: np.ndarray
    information: np.ndarray


class Templates(Protocol):
    """Templates of the surroundings of N points in one frame."""

    @property
    def points(self) -> np.ndarray: ...


class Matcher(Protocol[T]):
    """Finds templates of one frame in another, given a prior."""

    def describe(self, pyramid: ImagePyramid, points: np.ndarray) -> T:
        """Takes templates around points (N, 2) of a frame."""
        ...

    def match(
        self,
        templates: T,
        pyramid: ImagePyramid,
        expected: np.ndarray,
        covariance: np.ndarray,
        *,
        coarsest: int | None = None,
    ) -> Match:
        """Maximum a posteriori position of each template near `expected` (N, 2) with prior `covariance` (N, 2, 2).

        `coarsest` is the pyramid level to start from; the coarsest there is when None.
        """
        ...

    def correlate(self, templates: T, pyramid: ImagePyramid, points: np.ndarray) -> np.ndarray:
        """Correlation (N,) of each template with the surroundings of `points` (N, 2) on the finest level."""
        ...

    @property
    def independent_samples(self) -> float:
        """Number of independent samples in a template."""
        ...


def select_templates(templates: T, chosen: np.ndarray) -> T:
    """Returns the templates of some points, by their indices (K,)."""

    def select(value: Any) -> Any:
        if isinstance(value, tuple):
            return tuple(select(one) for one in value)
        if is_dataclass(value) and not isinstance(value, type):
            return type(value)(*(select(getattr(value, one.name)) for one in fields(value)))
        return value[chosen]

    return select(templates)


def correlation_gain(correlation: np.ndarray, independent_samples: float) -> np.ndarray:
    """Returns the information of a match with this correlation: rho^2 / (1 - rho^2), less that of chance alone.

    The Cramer-Rao bound of a shift between two signals correlated by rho is proportional to (1 - rho^2) / rho^2.
    The best of many wrong shifts reaches a rho of about 2 / sqrt(n) with n independent samples, which counts as
    nothing.
    """
    chance = min(0.9, 4.0 / independent_samples)
    squared = np.maximum((np.square(np.minimum(np.maximum(correlation, 0), 0.995)) - chance) / (1 - chance), 0)
    return squared / (1 - squared)


def inverse_2x2(matrices: np.ndarray) -> np.ndarray:
    """Inverse of symmetric positive definite matrices (N, 2, 2), written out: batched LAPACK calls cost more than the
    rest of a frame.
    """
    a, b, d = matrices[:, 0, 0], matrices[:, 0, 1], matrices[:, 1, 1]
    scale = 1 / np.maximum(a * d - b * b, 1e-20)
    inverse = np.empty_like(matrices)
    inverse[:, 0, 0], inverse[:, 1, 1] = d * scale, a * scale
    inverse[:, 0, 1] = inverse[:, 1, 0] = -b * scale
    return inverse


def times_vectors(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Products (N, 2) of matrices (N, 2, K) and vectors (N, K)."""
    return np.matmul(matrices, vectors[:, :, None])[:, :, 0]


def isotropic(variance: float, count: int) -> np.ndarray:
    """(count, 2, 2): `variance` times the unit matrix."""
    return variance * _units(count)


@lru_cache(maxsize=8)
def _units(count: int) -> np.ndarray:
    return np.tile(np.eye(2), (count, 1, 1))


def median(values: np.ndarray) -> np.ndarray:
    """Median along the first axis of a few values; NumPy's own costs as much as a frame's other sums together."""
    ordered = np.sort(values, axis=0)
    middle = len(ordered) // 2
    return 0.5 * (ordered[(len(ordered) - 1) // 2] + ordered[middle])


def mean_variance(covariance: np.ndarray) -> np.ndarray:
    """Mean of the variances (N,) along x and y of covariances (N, 2, 2)."""
    return 0.5 * (covariance[:, 0, 0] + covariance[:, 1, 1])
