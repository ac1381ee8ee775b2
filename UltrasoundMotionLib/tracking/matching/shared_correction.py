"""Neighbours drift alike, while the errors of their long matches have nothing in common: together they correct more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from UltrasoundMotionLib.tracking.matching.neighbour_groups import MOST_POINTS_TOGETHER, neighbour_groups
from UltrasoundMotionLib.tracking.matching.neighbour_motion import smooth_kernel

_LEAST_LEFT = 0.02


@dataclass(frozen=True)
class SharedCorrection:
    """Corrections (N, 2), and the share of each point's variance (N,) that is left after them."""

    correction: np.ndarray
    left: np.ndarray


def share_correction(
    places: np.ndarray, innovation: np.ndarray, drift: np.ndarray, noise: np.ndarray, *, length: float, shared: float
) -> SharedCorrection:
    """Posterior of the points' drift given their long matches and those of their neighbours.

    Drift adds up from frame to frame and has the same causes for neighbours (clutter that stands still, a shadow's
    edge, fading), so that it is alike over `length`; a long match is wrong by the speckle under it, which its
    neighbours do not share.

    Args:
        places: (N, 2) positions on the query frame.
        innovation: (N, 2) from each point to where its long template was found.
        drift: (N,) variance of the points' positions.
        noise: (N,) variance of the long matches.
        length: distance over which drift is alike.
        shared: share of the drift's variance that is; the rest is each point's own.
    """
    prior: dict[str, Any] = {"length": length, "shared": shared}
    if len(places) <= MOST_POINTS_TOGETHER:
        correction, left = _posterior(places[None], innovation[None], drift[None], noise[None], **prior)
        return SharedCorrection(correction[0], left[0])
    corrections, lefts = np.empty_like(innovation), np.empty_like(drift)
    for groups, members in neighbour_groups(places):
        correction, left = _posterior(places[groups], innovation[groups], drift[groups], noise[groups], **prior)
        own = groups[:, :members]
        corrections[own], lefts[own] = correction[:, :members], left[:, :members]
    return SharedCorrection(corrections, lefts)


def _posterior(
    places: np.ndarray, innovation: np.ndarray, drift: np.ndarray, noise: np.ndarray, *, length: float, shared: float
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the corrections (B, N, 2) and the shares of the variance (B, N) that are left, of B groups."""
    every = np.arange(places.shape[1])
    deviation = np.sqrt(drift)
    prior = shared * smooth_kernel(places, length) * (deviation[:, :, None] * deviation[:, None, :])
    prior[:, every, every] += (1 - shared) * drift
    total = prior.copy()
    total[:, every, every] += noise
    gain = prior @ np.linalg.inv(total)
    left = 1 - (gain * prior).sum(axis=2) / drift
    return gain @ innovation, np.maximum(left, _LEAST_LEFT)
