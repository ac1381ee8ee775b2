"""Where a point's neighbours expect it: a smooth field through their ways since the query frame, deaf to those that
went astray.

`neighbour_motion` couples the motion from one frame to the next, in which a lost point moves along with the others and
stays lost. The whole way since the query frame shows it: tissue is connected, so a point that is far from where all its
neighbours went is in the wrong place.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FEWEST = 8
"""Points below which there is no consensus: with few, one that moves by itself looks like one that went astray."""


@dataclass(frozen=True)
class Consensus:
    """Where the others expect each point (N, 2), and the variance (N,) of that, px^2."""

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
    """Each point's position as predicted from all others by a Gaussian process over their ways, reweighted until strays
    do not count.

    Leaving a point out of its own prediction needs no second inversion (Sundararajan and Keerthi, Neural Computation
    2001).

    Args:
        places: (N, 2) positions on the query frame.
        points: (N, 2) positions now.
        variance: (N,) of these, px^2.
        length: distance in px over which ways are alike.
        own_share: share of a way's standard deviation that neighbours do not explain.
        least_spread: variance in px^2 of the ways that is assumed at least.
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
