"""EMMA: expectation maximisation motion alignment of a long and a short motion (LSDM, Sec. III-C and III-D, Alg. 1).

Expectation-maximisation attention (the paper's ref. 30, Li et al., ICCV 2019) on motion vectors: k seeds, taken from
the short motion, are fitted to the long one; both motions are then re-composed from the fitted seeds, and what comes
out is added to what went in. Shapes, with P pixels: motions (P, 2), seeds (k, 2), responsibilities z (P, k).

Where Alg. 1 and Eqs. 11-17 disagree, or leave a choice, and what is done here:

- The loop of Alg. 1 never changes what it reads: lines 3-5 give the same in every iteration. The M-step missing there
  is Eq. 16; it is in our loop.
- Eq. 14 divides inner products by their sum, which may be negative or 0; Eq. 15 and line 4 take the softmax. Softmax,
  over the k seeds: the posterior of Eq. 13.
- Eq. 15 multiplies by phi_s, line 3 by the kernelised phi_s. The latter: (P, k), not (P, P).
- Eq. 16 divides by the sum over seeds, which the softmax makes 1. A mean needs the sum over pixels, as ref. 30 has it.
- Inner products (the paper's Ker) grow with the motions' size, and with them the softmax's sharpness: a still frame
  would align to nothing, a fast one to one seed. Motions and seeds are scaled to unit (root mean square, length) in the
  product alone: "the same directional representation".
- How phi_s is "kernelised" is not said: here the mean over each cell of a square grid of k cells, so that a seed is the
  short motion of one place.
- Line 7 multiplies (P, 2) by (P, k): its result has the seeds' shape, not phi_s's. It is read as a last M-step, from
  the re-composed long motion, and the short motion is re-composed from these seeds with its own responsibilities. Eq.
  17 has no line 7 and re-composes phi_l alone.
- Lines 8 and 9 add, Eq. 17 does not. We add, each by a gain that is learnt: added whole, a uniform motion would be
  doubled.
- Which phi is meant, velocity or displacement, is not said. The velocity: re-composition is a smooth function of each
  pixel's velocity, so that sums stay velocities, whose exponentials are diffeomorphisms. Sums of displacements would
  not be.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from UltrasoundMotionLib.errors import InputError

START_GAIN = 0.1
STILL = 1e-3
"""Motions much smaller than this, in pixels, have no direction."""


def _attention(motion: Tensor, seeds: Tensor, sharpness: float) -> Tensor:
    """Computes the E-step (Eq. 15): responsibilities (B, P, k) of seeds (B, 2, k) for motion (B, 2, P)."""
    size = (motion.square().sum(dim=1, keepdim=True).mean(dim=2, keepdim=True) + STILL**2).sqrt()
    direction = seeds / (seeds.square().sum(dim=1, keepdim=True) + STILL**2).sqrt()
    return torch.softmax(motion.transpose(1, 2).contiguous() @ (direction * (sharpness / size)), dim=2)


def _fitted_seeds(motion: Tensor, responsibilities: Tensor) -> Tensor:
    """Computes the M-step (Eq. 16): each seed (B, 2, k) is the mean of the motion (B, 2, P), weighted by its
    responsibilities (B, P, k).
    """
    return motion @ responsibilities / (responsibilities.sum(dim=1, keepdim=True) + 1e-6)


def recomposed(seeds: Tensor, responsibilities: Tensor) -> Tensor:
    """Recomposes a motion (B, 2, P): at each pixel the mean of the seeds (B, 2, k), weighted by its responsibilities
    (B, P, k).
    """
    return seeds @ responsibilities.transpose(1, 2)


class Emma(nn.Module):
    """Aligns a long and a short motion; differentiable, its gains are its only parameters.

    Args:
        seeds: k, a square number.
        iterations: N; 0 switches it off, and the module has no parameters.
        sharpness: of the softmax.

    Raises:
        InputError: seeds that are no square number, negative iterations.
    """

    def __init__(self, seeds: int = 16, iterations: int = 5, sharpness: float = 4.0) -> None:
        super().__init__()
        side = round(seeds**0.5)
        if seeds < 1 or side**2 != seeds:
            raise InputError(f"seeds must be a square number, got {seeds}")
        if iterations < 0:
            raise InputError(f"iterations must not be negative, got {iterations}")
        self.side, self.iterations, self.sharpness = side, iterations, sharpness
        if iterations:
            self.gains = nn.Parameter(torch.full((2,), START_GAIN))

    def forward(self, long: Tensor, short: Tensor) -> tuple[Tensor, Tensor]:
        """Aligns long and short velocities (B, 2, h, w)."""
        if self.iterations == 0:
            return long, short
        shape = long.shape
        seeds = F.adaptive_avg_pool2d(short, self.side).flatten(2)
        motion, brief = long.flatten(2), short.flatten(2)
        for _ in range(self.iterations):
            shares = _attention(motion, seeds, self.sharpness)
            seeds = _fitted_seeds(motion, shares)
        long_composed = recomposed(seeds, _attention(motion, seeds, self.sharpness))
        seeds = _fitted_seeds(long_composed, shares)
        short_composed = recomposed(seeds, _attention(brief, seeds, self.sharpness))
        long_gain, short_gain = self.gains
        return (
            long + long_gain * long_composed.reshape(shape),
            short + short_gain * short_composed.reshape(shape),
        )
