"""Resampling of displacement tensors between coarse and fine grids over the same region."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.tensor_checks import check_displacement


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
    mode = "bilinear" if len(spatial) == 2 else "trilinear"
    factors = []
    for before, after in zip(reversed(old), reversed(spatial), strict=True):
        if align_corners:
            factors.append((after - 1) / (before - 1) if before > 1 and after > 1 else 1.0)
        else:
            factors.append(after / before)
    scale = field.new_tensor(factors).view(1, -1, *[1] * len(spatial))
    return (functional.interpolate(field, size=spatial, mode=mode, align_corners=align_corners) * scale).to(
        displacement.dtype
    )
