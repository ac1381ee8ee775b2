"""Smoothness penalties of displacements: diffusion (first derivatives) and bending energy (second derivatives)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.similarity.tensor_checks import check_mask

_REDUCTIONS = ("mean", "sum", "voxelmorph")


class _SquaredDifferences(torch.autograd.Function):
    """The weighted sum over spatial axes of squared differences between neighbours, with its derivative in one pass."""

    @staticmethod
    def forward(ctx: Any, field: Tensor, weights: tuple[float, ...]) -> Tensor:
        """Computes the weighted sum; keeps its derivative for `backward`."""
        field = field.contiguous()
        derivative = torch.zeros_like(field) if ctx.needs_input_grad[0] else None
        total = field.new_zeros(())
        for axis, weight in enumerate(weights):
            size = field.shape[axis + 2]
            if size == 1 or weight == 0:
                continue
            difference = field.narrow(axis + 2, 1, size - 1) - field.narrow(axis + 2, 0, size - 1)
            flat = difference.reshape(-1)
            total += weight * torch.dot(flat, flat)
            if derivative is not None:
                derivative.narrow(axis + 2, 1, size - 1).add_(difference, alpha=2 * weight)
                derivative.narrow(axis + 2, 0, size - 1).sub_(difference, alpha=2 * weight)
        if derivative is not None:
            ctx.save_for_backward(derivative)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, None]:
        """Returns the gradient of the field."""
        (derivative,) = ctx.saved_tensors
        return derivative * gradient, None


def _check_field(displacement: Tensor, reduction: str) -> None:
    if not isinstance(displacement, Tensor) or displacement.ndim not in (4, 5) or not displacement.is_floating_point():
        raise InputError(
            "displacement: expected a floating point (B, n, *spatial) tensor, "
            f"got {tuple(getattr(displacement, 'shape', ()))}"
        )
    if reduction not in _REDUCTIONS:
        raise InputError(f"reduction: expected one of {', '.join(_REDUCTIONS)}, got {reduction!r}")


def _scale(displacement: Tensor, reduction: str) -> float:
    voxels = displacement.shape[0] * displacement.shape[2:].numel()
    components = displacement.shape[1] * (displacement.ndim - 2)
    return {"sum": 1.0, "mean": 1.0 / voxels, "voxelmorph": 1.0 / (voxels * components)}[reduction]


def diffusion(displacement: Tensor, *, reduction: str = "mean", mask: Tensor | None = None) -> Tensor:
    """Computes the squared gradient of a displacement, the sum over components i of |grad u_i|^2.

    By differences between neighbouring voxels. SSMSR's L_S; LT-Net (Eq. 2 and 3) and VoxelMorph average over components
    and axes as well.

    Args:
        displacement: (B, n, *spatial) in voxels.
        reduction: "mean" over voxels (as LNCC's 1/|Omega|), "sum" as SSMSR prints it, "voxelmorph" the mean over
            voxels, components and axes (mean / n^2).
        mask: (B or 1, 1, *spatial); a difference counts where both voxels are inside, the mean is over all voxels
            inside.

    Returns:
        A scalar tensor, differentiable.

    Raises:
        InputError: a wrong shape, an empty mask, an unknown reduction.
    """
    _check_field(displacement, reduction)
    field = displacement.to(torch.promote_types(displacement.dtype, torch.float32))
    if mask is None:
        return _SquaredDifferences.apply(field, (1.0,) * (field.ndim - 2)) * _scale(displacement, reduction)
    return _masked_sum(field, [(axis,) for axis in range(2, field.ndim)], reduction, mask)


def bending(displacement: Tensor, *, reduction: str = "mean", mask: Tensor | None = None) -> Tensor:
    """Computes the bending energy: the sum over components of all squared second derivatives, mixed ones twice.

    Rueckert et al., 1999; 0 for an affine displacement. By second differences between neighbouring voxels. Arguments
    and result as `diffusion`.
    """
    _check_field(displacement, reduction)
    field = displacement.to(torch.promote_types(displacement.dtype, torch.float32))
    axes = range(2, field.ndim)
    pairs = [(first, second) for first in axes for second in axes if first <= second]
    if mask is not None:
        return _masked_sum(field, pairs, reduction, mask)
    total = field.new_zeros(())
    for first, second in pairs:
        total = total + (1 if first == second else 2) * field.diff(dim=first).diff(dim=second).square().sum()
    return total * _scale(displacement, reduction)


def _masked_sum(field: Tensor, derivatives: Sequence[tuple[int, ...]], reduction: str, mask: Tensor) -> Tensor:
    """Sums the squared derivatives along the given axes over the differences whose voxels are all inside the mask."""
    inside = check_mask(mask, field)
    total = field.new_zeros(())
    for axes in derivatives:
        values, both = torch.where(inside, field, torch.zeros_like(field)), inside
        for axis in axes:
            values = values.diff(dim=axis)
            both = both.narrow(axis, 1, both.shape[axis] - 1) & both.narrow(axis, 0, both.shape[axis] - 1)
        squares = torch.where(both, values, torch.zeros_like(values)).square().sum()
        total = total + (2 if len(set(axes)) > 1 else 1) * squares
    if reduction == "sum":
        return total
    share = inside.expand(field.shape[0], *inside.shape[1:]).double().mean()
    return total * _scale(field, reduction) / share.to(total.dtype)
