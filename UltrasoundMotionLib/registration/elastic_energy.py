"""The derivative of a velocity field's elastic energy, on grids whose axes have different spacing."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def elastic_gradient(velocity: Tensor, spacing: Sequence[float], smoothness: float, volume: float) -> Tensor:
    """The derivative of smoothness * mean(sum_ij (dv_i/dx_j)^2) + volume * mean((div v)^2).

    The first term is SSMSR's L_S. The second penalises change of volume alone: the logarithm of the Jacobian
    determinant of exp(v) is the divergence of v, integrated along the flow.

    Args:
        velocity: (1, n, *spatial) in units of length, channels (x, y[, z]).
        spacing: (x, y[, z]) in the same unit.
        smoothness, volume: weights, 0 or more.

    Returns:
        The shape of velocity. The energy itself is half the inner product of velocity and result, since it is
        quadratic.
    """
    gradient = torch.zeros_like(velocity)
    voxels = velocity[0, 0].numel()
    if smoothness:
        for axis, step in enumerate(spacing):
            along = velocity.ndim - 1 - axis
            size = velocity.shape[along]
            if size > 1:
                difference = torch.diff(velocity, dim=along).mul_(2 * smoothness / (voxels * step**2))
                gradient.narrow(along, 1, size - 1).add_(difference)
                gradient.narrow(along, 0, size - 1).sub_(difference)
    if volume:
        divergence = torch.zeros_like(velocity[:, 0])
        axes = [
            (axis, velocity.ndim - 2 - axis, step)
            for axis, step in enumerate(spacing)
            if velocity.shape[velocity.ndim - 1 - axis] > 2
        ]
        for axis, along, step in axes:
            size = divergence.shape[along]
            high, low = (velocity[:, axis].narrow(along, start, size - 2) for start in (2, 0))
            divergence.narrow(along, 1, size - 2).add_(high - low, alpha=0.5 / step)
        divergence.mul_(2 * volume / voxels)
        for axis, along, step in axes:
            size = divergence.shape[along]
            inner = divergence.narrow(along, 1, size - 2) * (0.5 / step)
            gradient[:, axis].narrow(along, 2, size - 2).add_(inner)
            gradient[:, axis].narrow(along, 0, size - 2).sub_(inner)
    return gradient
