"""Neighbouring points of one tissue move alike: a Gaussian process over the points' motion."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


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
    kernel = torch.exp(-0.5 * torch.cdist(places, places).square() / length**2)
    if stretch > 0:
        offset = (places - (weight[:, None] * places).sum(0) / weight.sum()) / length
        kernel = kernel + stretch**2 * (offset @ offset.T)
    prior = spread * (kernel + own_share**2 * torch.eye(len(places), device=places.device))
    factor = torch.linalg.cholesky(prior + torch.diag(variance))
    posterior = mean + prior @ torch.cholesky_solve(displacement - mean, factor)
    half = torch.linalg.solve_triangular(factor, prior, upper=False)
    shrink = (prior.diagonal() - half.square().sum(0)).clamp(min=1e-4) / variance
    return SharedMotion(posterior, covariance * shrink.clamp(max=1)[:, None, None])
