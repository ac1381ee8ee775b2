"""Neighbouring points of one tissue move alike: a Gaussian process over the points' motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from UltrasoundMotionLib.tracking.matching.matcher import mean_variance, median
from UltrasoundMotionLib.tracking.matching.neighbour_groups import MOST_POINTS_TOGETHER, neighbour_groups


@dataclass(frozen=True)
class SharedMotion:
    """Motion (N, 2) and its covariance (N, 2, 2) with the neighbours' motion taken into account."""

    displacement: np.ndarray
    covariance: np.ndarray


def share_motion(
    places: np.ndarray,
    displacement: np.ndarray,
    covariance: np.ndarray,
    length: float,
    own_share: float,
    *,
    stretch: float = 0.0,
    kernel: np.ndarray | None = None,
) -> SharedMotion:
    """Posterior of the points' motion given their measured motion and that of their neighbours.

    The prior is a weighted mean motion, plus a smooth deviation over `length` pixels, plus each point's own
    (`own_share` of the smooth one's standard deviation). The scale of the deviation comes from the measurements
    themselves. A point measured well hardly moves; one without information goes with its neighbours; a single point is
    left as it is.

    Args:
        places: (N, 2) positions on the query frame.
        displacement: (N, 2) measured motion.
        covariance: (N, 2, 2) of each measurement.
        stretch: standard deviation, over `length` and relative to the smooth deviation's, of a motion that grows
            linearly with the place. Without it such a motion is shrunk like any other deviation, and with it all
            strain.
        kernel: `smooth_kernel` of the places where it is known, as from frame to frame; not used for many points.
    """
    if len(places) < 2 or length <= 0:
        return SharedMotion(displacement, covariance)
    variance = np.maximum(mean_variance(covariance), 1e-4)
    weight = 1 / (variance + median(variance))
    mean = (weight[:, None] * displacement).sum(0) / weight.sum()
    spread = (weight[:, None] * np.square(displacement - mean)).sum() / (2 * weight.sum()) + 0.05**2
    offset = (places - (weight[:, None] * places).sum(0) / weight.sum()) / length
    deviation = displacement - mean
    scale: dict[str, Any] = {"spread": spread, "own_share": own_share, "stretch": stretch}
    if len(places) <= MOST_POINTS_TOGETHER:
        known = smooth_kernel(places[None], length) if kernel is None else kernel
        shared, shrink = _posterior(known, offset[None], deviation[None], variance[None], **scale)
        return SharedMotion(mean + shared[0], covariance * np.minimum(shrink[0], 1)[:, None, None])
    posterior, shrink = np.empty_like(displacement), np.empty_like(variance)
    for groups, members in neighbour_groups(places):
        own = groups[:, :members]
        near = smooth_kernel(places[groups], length)
        one, other = _posterior(near, offset[groups], deviation[groups], variance[groups], **scale)
        posterior[own], shrink[own] = mean + one[:, :members], other[:, :members]
    return SharedMotion(posterior, covariance * np.minimum(shrink, 1)[:, None, None])


def _posterior(
    kernel: np.ndarray,
    offset: np.ndarray,
    deviation: np.ndarray,
    variance: np.ndarray,
    *,
    spread: float,
    own_share: float,
    stretch: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the deviation from the mean motion (B, N, 2) given that of all points of a group, and the share of the
    variance (B, N) that is left.
    """
    if stretch > 0:
        kernel = kernel + stretch**2 * (offset @ offset.transpose(0, 2, 1))
    every = np.arange(kernel.shape[1])
    total = spread * kernel
    total[:, every, every] += spread * own_share**2 + variance
    inverse = np.linalg.inv(total)
    # What the measurement's noise makes of a deviation d is V (K + V)^-1 d, of the prior's covariance K V (K + V)^-1 V.
    shared = deviation - variance[:, :, None] * (inverse @ deviation)
    shrink = np.maximum(1 - variance * inverse[:, every, every], 1e-4 / variance)
    return shared, shrink


def smooth_kernel(places: np.ndarray, length: float) -> np.ndarray:
    """Covariance (B, N, N) of smooth motion over `length` pixels, of points (B, N, 2)."""
    squared = np.square(places[:, :, None, 0] - places[:, None, :, 0])
    squared += np.square(places[:, :, None, 1] - places[:, None, :, 1])
    return np.exp(-0.5 / length**2 * squared)
