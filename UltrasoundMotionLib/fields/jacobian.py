"""The Jacobian determinant of a displacement, its local change of volume, and the measures reported from it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.jacobian_summary import JacobianMeasures
from UltrasoundMotionLib.fields.tensor_checks import check_displacement

_BORDER = 2
"""Voxels next to a border that Learn2Reg leaves out."""


def spatial_gradient(values: Tensor, spacing: Sequence[float] | None = None) -> Tensor:
    """Returns the derivatives of (B, C, *spatial) along x, y[, z] as (n, B, C, *spatial).

    Central differences, one-sided at the border. Per mm where a spacing (x, y[, z]) is given, else per voxel; 0 along
    an axis of one voxel.
    """
    columns = []
    for axis in range(values.ndim - 2):
        along = values.ndim - 1 - axis
        step = 1.0 if spacing is None else float(spacing[axis])
        columns.append(
            torch.gradient(values, spacing=step, dim=along)[0] if values.shape[along] > 1 else torch.zeros_like(values)
        )
    return torch.stack(columns)


def displacement_gradient(displacement: Tensor) -> Tensor:
    """Returns du_i/dx_j as (B, n, n, *spatial), i and j in the order (x, y[, z]), by `spatial_gradient`.

    Raises:
        InputError: the shape is not that of a displacement.
    """
    check_displacement(displacement)
    return spatial_gradient(displacement).movedim(0, 2)


def jacobian_determinant(displacement: Tensor) -> Tensor:
    """Returns det(I + grad u) at every voxel: 1 keeps volume, below 1 shrinks, 0 or below folds.

    Eq. 7 of "Semantically Guided Large Deformation Estimation with Deep Networks" (and VoxelMorph). Being a ratio of
    volumes it has the same value in voxels and in mm, on any spacing and direction.

    Args:
        displacement: (B, n, *spatial) in voxels, channels (x, y[, z]).

    Returns:
        (B, *spatial). Differentiable.

    Raises:
        InputError: the shape is not that of a displacement.
    """
    g = displacement_gradient(displacement.to(torch.promote_types(displacement.dtype, torch.float32)))
    if displacement.shape[1] == 2:
        return (1 + g[:, 0, 0]) * (1 + g[:, 1, 1]) - g[:, 0, 1] * g[:, 1, 0]
    return (
        (1 + g[:, 0, 0]) * ((1 + g[:, 1, 1]) * (1 + g[:, 2, 2]) - g[:, 1, 2] * g[:, 2, 1])
        - g[:, 0, 1] * (g[:, 1, 0] * (1 + g[:, 2, 2]) - g[:, 1, 2] * g[:, 2, 0])
        + g[:, 0, 2] * (g[:, 1, 0] * g[:, 2, 1] - (1 + g[:, 1, 1]) * g[:, 2, 0])
    )


def jacobian_measures(displacement: Tensor, mask: Tensor | None = None) -> JacobianMeasures:
    """Summarises `jacobian_determinant` over all voxels or those of a mask.

    Args:
        displacement: (B, n, *spatial) in voxels, channels (x, y[, z]).
        mask: (B, 1, *spatial) or (*spatial); voxels above 0 count.

    Raises:
        InputError: the shape is not that of a displacement; a mask of another shape, or an empty one.
    """
    determinant = jacobian_determinant(displacement.detach()).double()
    core = _without_border(determinant.shape)
    inner = determinant[core]
    if mask is not None:
        wanted = determinant.shape
        if mask.shape not in (wanted[1:], (wanted[0], 1, *wanted[1:])):
            raise InputError(f"mask {tuple(mask.shape)} does not fit the displacement {tuple(displacement.shape)}")
        chosen = (mask > 0).reshape(-1, *wanted[1:]).expand(wanted)
        inner, determinant = inner[chosen[core]], determinant[chosen]
        if determinant.numel() == 0:
            raise InputError("mask: no voxel is above 0")
    return JacobianMeasures(
        mean=float(determinant.mean()),
        std=float(determinant.std(correction=0)),
        std_log=float(determinant.clamp(1e-9, 1e9).log().std(correction=0)),
        sdlogj_learn2reg=float((inner + 3).clamp(1e-9, 1e9).log().std(correction=0)) if inner.numel() else float("nan"),
        share_nonpositive=float((determinant <= 0).double().mean()),
        minimum=float(determinant.min()),
        maximum=float(determinant.max()),
    )


def _without_border(shape: Sequence[int]) -> tuple[slice, ...]:
    """Returns all but the two voxels next to each border of (B, *spatial), along axes that have more than four."""
    inner = (slice(_BORDER, -_BORDER) if size > 2 * _BORDER else slice(None) for size in shape[1:])
    return (slice(None), *inner)
