"""Resampling of displacement tensors between coarse and fine grids over the same region."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.axis_products import product_along
from UltrasoundMotionLib.fields.tensor_checks import check_displacement

_LARGEST_IN_PRODUCTS = 128
"""Largest size of an axis up to which products with matrices take less time than PyTorch's interpolation."""


def resample_displacement(displacement: Tensor, spatial: tuple[int, ...], *, align_corners: bool = False) -> Tensor:
    """Resamples a displacement to another size and rescales its values to the new voxels (P_2 in Eq. 5 of SSMSR).

    Linear interpolation without smoothing: smooth a field before making it much coarser.

    Args:
        displacement: (B, n, *spatial) in voxels, channels (x, y[, z]).
        spatial: the new size, (H, W) or (D, H, W).
        align_corners: False: both grids cover the same region, borders of voxels included; one voxel is old size / new
            size old voxels, as in `torch.nn.functional.interpolate` and pooling by default. True: the centres of the
            first and last voxels coincide.

    Returns:
        (B, n, *new spatial) in voxels of the new grid. Differentiable.

    Raises:
        InputError: not a displacement; sizes that are not positive or of another dimension.
    """
    check_displacement(displacement)
    spatial = tuple(int(size) for size in spatial)
    if len(spatial) != displacement.ndim - 2 or min(spatial) < 1:
        raise InputError(f"spatial: expected {displacement.ndim - 2} sizes of 1 voxel or more, got {spatial}")
    old = tuple(displacement.shape[2:])
    if old == spatial:
        return displacement
    field = displacement.to(torch.promote_types(displacement.dtype, torch.float32))
    factors = []
    for before, after in zip(reversed(old), reversed(spatial), strict=True):
        if align_corners:
            factors.append((after - 1) / (before - 1) if before > 1 and after > 1 else 1.0)
        else:
            factors.append(after / before)
    scale = field.new_tensor(factors).view(1, -1, *[1] * len(spatial))
    return (_interpolated(field, spatial, align_corners) * scale).to(displacement.dtype)


def resampling_adjoint(derivative: Tensor, spatial: tuple[int, ...]) -> Tensor:
    """Turns the derivative of a loss for a resampled displacement into its derivative for the one before.

    Args:
        derivative: (B, n, *new spatial), for the result of `resample_displacement`.
        spatial: the size before, (H, W) or (D, H, W).

    Returns:
        (B, n, *spatial), without a graph.

    Raises:
        InputError: as `resample_displacement`.
    """
    new = tuple(derivative.shape[2:])
    if new == tuple(spatial):
        return derivative.detach()
    if max(spatial) > _LARGEST_IN_PRODUCTS:
        with torch.enable_grad():
            before = derivative.new_zeros(*derivative.shape[:2], *spatial).requires_grad_()
            return torch.autograd.grad((resample_displacement(before, new) * derivative.detach()).sum(), before)[0]
    check_displacement(derivative)
    factors = [after / before for before, after in zip(reversed(spatial), reversed(new), strict=True)]
    result = derivative.detach() * derivative.new_tensor(factors).view(1, -1, *[1] * len(spatial))
    for axis in range(derivative.ndim - 1, 1, -1):
        old, size = spatial[axis - 2], result.shape[axis]
        if old != size:
            matrix = _interpolation(old, size, False, result.dtype, result.device)
            result = product_along(result, axis, matrix.T)
    return result


def _interpolated(field: Tensor, spatial: tuple[int, ...], align_corners: bool) -> Tensor:
    """Returns a field (B, n, *old) at another size, interpolated linearly."""
    if max(field.shape[2:]) > _LARGEST_IN_PRODUCTS:
        mode = "bilinear" if len(spatial) == 2 else "trilinear"
        return functional.interpolate(field, size=spatial, mode=mode, align_corners=align_corners)
    with torch.autocast(field.device.type, enabled=False):
        result = field.contiguous()
        for axis, size in enumerate(spatial, start=2):
            if result.shape[axis] != size:
                matrix = _interpolation(result.shape[axis], size, align_corners, field.dtype, field.device)
                result = product_along(result, axis, matrix)
    return result


@lru_cache(maxsize=128)
def _interpolation(old: int, new: int, align_corners: bool, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns the weights (new, old) of linear interpolation along one axis, those of `torch.nn.functional`."""
    with torch.inference_mode(False), torch.no_grad():
        units = torch.eye(old, dtype=dtype, device=device)[None]
        return functional.interpolate(units, size=new, mode="linear", align_corners=align_corners)[0].T.contiguous()
