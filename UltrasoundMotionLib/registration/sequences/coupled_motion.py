"""Motion from many small, uncertain observations: a sparse linear system, solved by conjugate gradients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

TINY = 1e-12


def pairs(dimension: int) -> list[tuple[int, int]]:
    """The entries (i, j), i <= j, of a symmetric matrix in the order of the channels that hold them."""
    return [(i, j) for i in range(dimension) for j in range(i, dimension)]


def laplacian(field: Tensor, weights: Sequence[float]) -> Tensor:
    """The negative discrete Laplacian of (1, n, *spatial) with free borders; weights per axis (x, y[, z]).

    Positive semi-definite.
    """
    result = torch.zeros_like(field)
    for axis, weight in enumerate(weights):
        along = field.ndim - 1 - axis
        size = field.shape[along]
        if size > 1:
            difference = torch.diff(field, dim=along).mul_(weight)
            result.narrow(along, 0, size - 1).sub_(difference)
            result.narrow(along, 1, size - 1).add_(difference)
    return result


def solve_motion(tensor: Tensor, force: Tensor, stiffness: Sequence[float], iterations: int) -> Tensor:
    """Solves (A + L) d = f for the motion d: a least-squares data term with a membrane as regulariser.

    Bruhn et al., Lucas/Kanade meets Horn/Schunck, IJCV 2005 (the linear system of the combined local-global method).

    Args:
        tensor: (1, n (n + 1) / 2, *spatial): A at every node, channels as `pairs`.
        force: (1, n, *spatial).
        stiffness: weight of the membrane L along (x, y[, z]), above 0.
        iterations: of conjugate gradients, preconditioned by the diagonal.

    Returns:
        (1, n, *spatial).
    """
    dimension = force.shape[1]
    entries = pairs(dimension)
    lookup = {pair: channel for channel, pair in enumerate(entries)}
    diagonal = torch.cat([tensor[:, lookup[i, i], None] for i in range(dimension)], dim=1) + 2 * sum(stiffness)
    full = tensor[0][[lookup[min(i, j), max(i, j)] for i in range(dimension) for j in range(dimension)]]
    full = full.reshape(dimension, dimension, *tensor.shape[2:])

    def apply(field: Tensor) -> Tensor:
        return (full * field).sum(1)[None] + laplacian(field, stiffness)

    motion = torch.zeros_like(force)
    residual = force.clone()
    preconditioned = residual / diagonal
    direction = preconditioned.clone()
    energy = (residual * preconditioned).sum()
    for _ in range(iterations):
        image = apply(direction)
        step = energy / (direction * image).sum().clamp(min=TINY)
        motion.add_(direction * step)
        residual.sub_(image * step)
        preconditioned = residual / diagonal
        after = (residual * preconditioned).sum()
        direction = preconditioned + direction * (after / energy.clamp(min=TINY))
        energy = after
    return motion
