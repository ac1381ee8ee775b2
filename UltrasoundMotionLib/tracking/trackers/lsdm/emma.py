"""EMMA: expectation maximisation motion alignment of a long and a short motion (LSDM, Sec. III-C and III-D, Alg. 1).

Expectation-maximisation attention (the paper's ref. 30, Li et al., ICCV 2019) on the maps of both motions: k seeds,
taken from the short motion, are fitted to the long one; both motions are then re-composed from the fitted seeds, and
what comes out is added to what went in. Shapes, with P places and c channels: maps (P, c), seeds (k, c),
responsibilities z (P, k). The readings of Alg. 1 where it disagrees with Eqs. 11 to 17 stand in Docs/concepts/lsdm.md.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.errors import InputError

STILL = 1e-3
"""Maps much smaller than this have no direction."""


def _attention(motion: Tensor, seeds: Tensor, sharpness: float) -> Tensor:
    """Computes the E-step (Eq. 15): responsibilities (B, P, k) of seeds (B, c, k) for motion (B, c, P)."""
    size = (motion.square().sum(dim=1, keepdim=True).mean(dim=2, keepdim=True) + STILL**2).sqrt()
    direction = seeds / (seeds.square().sum(dim=1, keepdim=True) + STILL**2).sqrt()
    return torch.softmax(motion.transpose(1, 2).contiguous() @ (direction * (sharpness / size)), dim=2)


def _fitted_seeds(motion: Tensor, responsibilities: Tensor) -> Tensor:
    """Computes the M-step (Eq. 16): each seed (B, c, k) is the mean of the motion (B, c, P), weighted by its
    responsibilities (B, P, k).
    """
    return motion @ responsibilities / (responsibilities.sum(dim=1, keepdim=True) + 1e-6)


def recomposed(seeds: Tensor, responsibilities: Tensor) -> Tensor:
    """Recomposes a motion (B, c, P) (Eq. 17): at each place the mean of the seeds (B, c, k), weighted by its
    responsibilities (B, P, k).
    """
    return seeds @ responsibilities.transpose(1, 2)


class Emma(nn.Module):
    """Aligns the maps of a long and a short motion; differentiable, without parameters.

    Args:
        seeds: k, a square number.
        iterations: N; 0 switches it off.
        sharpness: of the softmax.

    Raises:
        InputError: seeds that are no square number, negative iterations.
    """

    def __init__(self, seeds: int = 64, iterations: int = 3, sharpness: float = 4.0) -> None:
        super().__init__()
        side = round(seeds**0.5)
        if seeds < 1 or side**2 != seeds:
            raise InputError(f"seeds must be a square number, got {seeds}")
        if iterations < 0:
            raise InputError(f"iterations must not be negative, got {iterations}")
        self.side, self.iterations, self.sharpness = side, iterations, sharpness

    def forward(self, long: Tensor, short: Tensor) -> tuple[Tensor, Tensor]:
        """Aligns maps phi_l and phi_s (B, c, h, w)."""
        if self.iterations == 0:
            return long, short
        shape = long.shape
        seeds = F.adaptive_avg_pool2d(short, self.side).flatten(2)
        motion, brief = long.flatten(2), short.flatten(2)
        for _ in range(self.iterations):
            shares = _attention(motion, seeds, self.sharpness)
            seeds = _fitted_seeds(motion, shares)
        long_composed = recomposed(seeds, shares)
        seeds = _fitted_seeds(long_composed, shares)
        short_composed = recomposed(seeds, _attention(brief, seeds, self.sharpness))
        return long + long_composed.reshape(shape), short + short_composed.reshape(shape)
