"""Consensus of neighbours on a point's position: a smooth field through their displacements since the query frame,
robust to outliers.

`neighbour_motion` couples the motion from one frame to the next, in which a lost point moves along with the others and
stays lost. The displacement since the query frame shows it: tissue is connected, so a point that is far from where its
neighbours moved to is in the wrong place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.tracking.matching.matcher import median
from UltrasoundMotionLib.tracking.matching.neighbour_groups import MOST_POINTS_TOGETHER, neighbour_groups
from UltrasoundMotionLib.tracking.matching.neighbour_motion import smooth_kernel

FEWEST = 8
"""Points below which there is no consensus: with few, one that moves by itself looks like an outlier."""


@dataclass(frozen=True)
class Consensus:
    """Positions (N, 2) at which the others expect each point, and their variance (N,) in px^2."""

    points: np.ndarray
    variance: np.ndarray


def neighbour_consensus(
    places: np.ndarray,
    points: np.ndarray,
    variance: np.ndarray,
    *,
    length: float,
    own_share: float,
    least_spread: float,
    iterations: int = 6,
) -> Consensus:
    """Predicts each point's position from all others by a Gaussian process over their displacements, reweighted until
    outliers do not count.

    Leaving a point out of its own prediction needs no second inversion (Sundararajan and Keerthi, Neural Computation
    2001).

    Args:
        places: (N, 2) positions on the query frame.
        points: (N, 2) positions now.
        variance: (N,) of these, px^2.
        length: distance in px over which displacements are alike.
        own_share: share of a displacement's standard deviation that neighbours do not explain.
        least_spread: least variance of the displacements that is assumed, in px^2.
    """
    way = points - places
    mean, noise = median(way), variance
    groups = [(np.arange(len(places))[None], len(places))]
    if len(places) > MOST_POINTS_TOGETHER:
        groups = list(neighbour_groups(places))
    kernels = [smooth_kernel(places[group], length) for group, _ in groups]
    for _ in range(iterations):
        spread = max(
            float(median(np.square(way - mean).sum(axis=-1))) / 1.39, least_spread
        )  # 1.39: median of chi^2 with 2 degrees
        predicted, predicted_variance = _left_out(
            way, mean, noise, spread=spread, own_share=own_share, groups=groups, kernels=kernels
        )
        surprise = np.square(way - predicted).sum(axis=-1) / (predicted_variance + variance)
        noise = variance * np.exp(np.minimum(surprise / 8, 12))
        weight = 1 / noise
        mean = (weight[:, None] * way).sum(0) / weight.sum()
    return Consensus(places + predicted, predicted_variance)


def _left_out(
    way: np.ndarray,
    mean: np.ndarray,
    noise: np.ndarray,
    *,
    spread: float,
    own_share: float,
    groups: list[tuple[np.ndarray, int]],
    kernels: list[np.ndarray],
) -> tuple[np.ndarray, np.ndarray]:
    """Predicts each displacement (N, 2) from the others', with its variance (N,); of many points, from the near ones.

    Beyond a few times the kernels' length the others do not count, so that a group of neighbours stands for all.
    """
    predicted, variance = np.empty_like(way), np.empty_like(noise)
    for (group, members), kernel in zip(groups, kernels, strict=True):
        every = np.arange(group.shape[1])
        total = spread * kernel
        total[:, every, every] += spread * own_share**2 + noise[group]
        inverse = np.linalg.inv(total)
        precision = inverse[:, every, every]
        off = (inverse @ (way - mean)[group]) / precision[..., None]
        own = group[:, :members]
        predicted[own] = way[own] - off[:, :members]
        variance[own] = np.maximum(1 / precision - noise[group], 1e-3)[:, :members]
    return predicted, variance
