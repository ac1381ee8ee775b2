"""Cubic B-spline free-form deformation: from a coarse grid of control points to a displacement at every voxel.

Control point k of an axis is at voxel (k - 1) * stride: one point lies before voxel 0, and two after the last interval,
so that every voxel has its four neighbours (the layout of Rueckert et al. 1999, NiftyReg and ITK's BSplineTransform
with stride * mesh + 1 voxels).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.box_sums import box_sum, window_counts
from UltrasoundMotionLib.fields.cubic_sampling import cubic_weights
from UltrasoundMotionLib.fields.tensor_checks import check_displacement

_Stride = int | tuple[int, ...]


def control_shape(spatial: tuple[int, ...], stride: _Stride) -> tuple[int, ...]:
    """Returns the number of control points per spatial axis, in the order of `spatial`: (H, W) or (D, H, W).

    Raises:
        InputError: a stride below 1 voxel, or not one per axis.
    """
    return tuple(-(-(size - 1) // step) + 3 for size, step in zip(spatial, _strides(spatial, stride), strict=True))


def bspline_exact(control: Tensor, spatial: tuple[int, ...], stride: _Stride) -> Tensor:
    """Evaluates the cubic B-spline of the control points at every voxel, by one small matrix product per axis.

    Args:
        control: (B, n, *control_shape(spatial, stride)) displacements in voxels of the fine grid, channels (x, y[, z]).
        spatial: size of the fine grid, (H, W) or (D, H, W).
        stride: voxels between control points, one number or one per axis in the order of `spatial`.

    Returns:
        (B, n, *spatial) in voxels. Differentiable; computed in float32 or float64.

    Raises:
        InputError: the number of control points does not fit the grid and stride.
    """
    strides = _check_control(control, spatial, stride)
    dense = control.to(torch.promote_types(control.dtype, torch.float32))
    with torch.autocast(control.device.type, enabled=False):
        for axis, (size, step) in enumerate(zip(spatial, strides, strict=True), start=2):
            matrix = _spline_matrix(size, step, dense.dtype, dense.device)
            dense = (dense.movedim(axis, -1) @ matrix.T).movedim(-1, axis)
    return dense.contiguous().to(control.dtype)


def bspline_by_pooling(control: Tensor, spatial: tuple[int, ...], stride: _Stride) -> Tensor:
    """Approximates `bspline_exact` by repeated average pooling (recursive cardinal splines).

    The method of "Semantically Guided Large Deformation Estimation with Deep Networks". Every control value is repeated
    for `stride` voxels (a box) and averaged three times over `stride` voxels: a box convolved three times with itself
    is the cubic B-spline. The weights sum to 1, as in `bspline_exact`; their shape differs by O(1 / stride^2), since a
    box of whole voxels replaces a continuous one. Arguments, result and errors as `bspline_exact`.
    """
    strides = _check_control(control, spatial, stride)
    dense = control.to(torch.promote_types(control.dtype, torch.float32))
    for axis, step in enumerate(strides, start=2):
        dense = dense.repeat_interleave(step, dim=axis)
    flat = dense.flatten(0, 1)
    for _ in range(3):
        flat = box_sum(flat, strides) / math.prod(strides)
    # each pass moves an even window's centre by half a voxel, and the repeated values start two points and half a box
    # too early
    for axis, (size, step) in enumerate(zip(spatial, strides, strict=True), start=1):
        flat = flat.narrow(axis, 3 * (step // 2) + 1, size)
    return flat.reshape(*control.shape[:2], *spatial).to(control.dtype)


def smooth_by_pooling(displacement: Tensor, kernel: _Stride, passes: int = 3) -> Tensor:
    """Averages a dense field `passes` times over windows of `kernel` voxels.

    Gives the upsampled field of "Semantically Guided Large Deformation Estimation with Deep Networks", and V_smooth of
    its regulariser. Windows at the border average the voxels inside, so a constant field does not change.

    Args:
        displacement: (B, n, *spatial), channels (x, y[, z]).
        kernel: odd edge length in voxels, one number or one per axis in the order of the spatial axes.
        passes: number of averagings (the paper: 3 for the spline, 2 for V_smooth).

    Returns:
        The same shape; differentiable.

    Raises:
        InputError: not a displacement; an even kernel.
    """
    check_displacement(displacement)
    kernels = _strides(tuple(displacement.shape[2:]), kernel)
    if any(one % 2 == 0 for one in kernels):
        raise InputError(f"kernel: expected odd numbers of voxels, got {kernel}")
    flat = displacement.to(torch.promote_types(displacement.dtype, torch.float32)).flatten(0, 1)
    counts = window_counts(tuple(flat.shape[1:]), kernels, flat.dtype, flat.device)
    for _ in range(passes):
        flat = box_sum(flat, kernels) / counts
    return flat.reshape(displacement.shape).to(displacement.dtype)


@lru_cache(maxsize=32)
def _spline_matrix(size: int, stride: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns the (size, controls) matrix of one axis: four weights per voxel."""
    with torch.inference_mode(False):  # a cached tensor must be usable in a later backward pass
        voxels = torch.arange(size)
        fractions = (voxels % stride).double() / stride
        matrix = torch.zeros(size, -(-(size - 1) // stride) + 3, dtype=torch.float64)
        for shift, weight in enumerate(cubic_weights(fractions)):
            column = voxels // stride + shift
            known = column < matrix.shape[1]  # columns past the last point have weight 0
            matrix[voxels[known], column[known]] = weight[known]
        return matrix.to(dtype=dtype, device=device)


def _strides(spatial: tuple[int, ...], stride: _Stride) -> tuple[int, ...]:
    strides = (stride,) * len(spatial) if isinstance(stride, int) else tuple(stride)
    if len(strides) != len(spatial) or any(not isinstance(step, int) or step < 1 for step in strides):
        raise InputError(
            f"stride: expected a whole number of voxels, or one for each of {len(spatial)} axes, got {stride}"
        )
    return strides


def _check_control(control: Tensor, spatial: tuple[int, ...], stride: _Stride) -> tuple[int, ...]:
    check_displacement(control, "control")
    if len(spatial) != control.ndim - 2:
        raise InputError(f"control {tuple(control.shape)} and spatial {tuple(spatial)} must agree in dimension")
    wanted = control_shape(spatial, stride)
    if tuple(control.shape[2:]) != wanted:
        raise InputError(
            f"control: expected {wanted} points for a grid of {tuple(spatial)} at stride {stride}, "
            f"got {tuple(control.shape[2:])}"
        )
    return _strides(spatial, stride)
