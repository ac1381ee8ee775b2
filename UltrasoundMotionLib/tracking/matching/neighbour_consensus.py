"""Consensus of neighbours on a point's position: a smooth field through their displacements since the query frame,
robust to outliers.

`neighbour_motion` couples the motion from one frame to the next, in which a lost point moves along with the others and
stays lost. The displacement since the query frame shows it: tissue is connected, so a point that is far from where its
neighbours moved to is in the wrong place.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FEWEST = 8
"""Points below which there is no consensus: with few, one that moves by itself looks like an outlier."""


@dataclass(frozen=True)
class Consensus:
    """Positions (N, 2) at which the others expect each point, and their variance (N,) in px^2."""

    points: Tensor
    variance: Tensor


def neighbour_consensus(
    places: Tensor,
    points: Tensor,
    variance: Tensor,
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
    shape = torch.exp(-0.5 * torch.cdist(places, places).square() / length**2)
    shape = shape + own_share**2 * torch.eye(len(places), device=places.device)
    mean, noise = way.median(dim=0).values, variance
    for _ in range(iterations):
        spread = ((way - mean).square().sum(-1).median() / 1.39).clamp(
            min=least_spread
        )  # 1.39: median of chi^2 with 2 degrees
        inverse = torch.linalg.inv(spread * shape + torch.diag(noise))
        precision = inverse.diagonal()
        predicted = way - (inverse @ (way - mean)) / precision[:, None]
        predicted_variance = (1 / precision - noise).clamp(min=1e-3)
        surprise = (way - predicted).square().sum(-1) / (predicted_variance + variance)
        noise = variance * torch.exp((surprise / 8).clamp(max=12))
        weight = 1 / noise
        mean = (weight[:, None] * way).sum(0) / weight.sum()
    return Consensus(places + predicted, predicted_variance)
