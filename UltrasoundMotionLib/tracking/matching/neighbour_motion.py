"""Neighbouring points of one tissue move alike: a Gaussian process over the points' motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.matching.neighbour_groups import MOST_POINTS_TOGETHER, neighbour_groups


@dataclass(frozen=True)
class SharedMotion:
    """Motion (N, 2) and its covariance (N, 2, 2) with the neighbours' motion taken into account."""

    displacement: Tensor
    covariance: Tensor


def share_motion(
    places: Tensor, displacement: Tensor, covariance: Tensor, length: float, own_share: float, *, stretch: float = 0.0
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
    """
    if len(places) < 2 or length <= 0:
        return SharedMotion(displacement, covariance)
    variance = covariance.diagonal(dim1=1, dim2=2).mean(-1).clamp(min=1e-4)
    weight = 1 / (variance + variance.median())
    mean = (weight[:, None] * displacement).sum(0) / weight.sum()
    spread = (weight[:, None] * (displacement - mean).square()).sum() / (2 * weight.sum()) + 0.05**2
    offset = (places - (weight[:, None] * places).sum(0) / weight.sum()) / length
    deviation = displacement - mean
    scale: dict[str, Any] = {"spread": spread, "length": length, "own_share": own_share, "stretch": stretch}
    if len(places) <= MOST_POINTS_TOGETHER:
        shared, shrink = _posterior(places[None], offset[None], deviation[None], variance[None], **scale)
        return SharedMotion(mean + shared[0], covariance * shrink[0].clamp(max=1)[:, None, None])
    posterior, shrink = torch.empty_like(displacement), torch.empty_like(variance)
    for groups, members in neighbour_groups(places):
        own = groups[:, :members]
        one, other = _posterior(places[groups], offset[groups], deviation[groups], variance[groups], **scale)
        posterior[own], shrink[own] = mean + one[:, :members], other[:, :members]
    return SharedMotion(posterior, covariance * shrink.clamp(max=1)[:, None, None])


def _posterior(
    places: Tensor,
    offset: Tensor,
    deviation: Tensor,
    variance: Tensor,
    *,
    spread: Tensor,
    length: float,
    own_share: float,
    stretch: float,
) -> tuple[Tensor, Tensor]:
    """Returns the deviation from the mean motion (B, N, 2) given that of all points of a group, and the share of the
    variance (B, N) that is left.
    """
    kernel = torch.exp(-0.5 * torch.cdist(places, places).square() / length**2)
    if stretch > 0:
        kernel = kernel + stretch**2 * (offset @ offset.mT)
    prior = spread * (kernel + own_share**2 * torch.eye(places.shape[1], device=places.device))
    factor = torch.linalg.cholesky(prior + torch.diag_embed(variance))
    shared = prior @ torch.cholesky_solve(deviation, factor)
    half = torch.linalg.solve_triangular(factor, prior, upper=False)
    shrink = (prior.diagonal(dim1=1, dim2=2) - half.square().sum(1)).clamp(min=1e-4) / variance
    return shared, shrink
