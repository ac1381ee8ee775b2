"""Warping of images and points by a displacement."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.cubic_sampling import sample_cubic
from UltrasoundMotionLib.fields.linear_sampling import sample_displaced, sample_points, sample_with_derivative
from UltrasoundMotionLib.fields.tensor_checks import check_displacement, check_finite, check_pair

_MODES = ("linear", "nearest", "cubic")
_PADDINGS = ("border", "zeros")


def warp(image: Tensor, displacement: Tensor, mode: str = "linear", padding: str = "border") -> Tensor:
    """Warps the moving image onto the fixed grid: samples it at p + u(p) for every voxel p of the displacement's grid.

    Args:
        image: (B, C, *spatial), spatial = (H, W) or (D, H, W). Voxel 0 of the image lies on voxel 0 of the
            displacement's grid; sizes may differ. Integer images (labels) are for mode "nearest" only.
        displacement: (B, n, *output), in voxels, channels in the order (x, y[, z]), the reverse of the spatial axes.
        mode: "linear", "nearest" (ties go to the even voxel; no derivative), or "cubic" (interpolating cubic B-spline,
            its coefficients mirrored at the borders, as ITK's BSplineInterpolateImageFunction).
        padding: "border" continues the nearest border value; "zeros" is 0 outside (linear: fading within one voxel, so
            that it stays differentiable; nearest and cubic: from half a voxel outside).

    Returns:
        (B, C, *output) in the image's dtype. Half precision is computed in float32, since half cannot hold a position
        in an image. Differentiable for image and displacement ("nearest": not at all).

    Raises:
        InputError: shapes, devices or dtypes that do not fit each other; an unknown mode or padding; NaN in the
            displacement.
    """
    check_pair(image, displacement)
    if mode not in _MODES:
        raise InputError(f"mode: expected one of {', '.join(_MODES)}, got {mode!r}")
    if padding not in _PADDINGS:
        raise InputError(f"padding: expected one of {', '.join(_PADDINGS)}, got {padding!r}")
    if mode != "linear":  # the linear mode is used in loops and detects NaN at no cost
        check_finite(displacement, "displacement")
    if mode == "nearest":
        return _warp_nearest(image, displacement, padding)
    if not image.is_floating_point():
        raise InputError(
            f"image: mode {mode!r} needs floating point values, got {image.dtype}; use mode 'nearest' for labels"
        )
    dtype = torch.promote_types(torch.promote_types(image.dtype, displacement.dtype), torch.float32)
    source, offsets = image.to(dtype), displacement.to(dtype)
    if mode == "linear":
        if padding == "zeros":
            source, offsets = functional.pad(source, [1, 1] * (image.ndim - 2)), offsets + 1
        return sample_displaced(source, offsets).to(image.dtype)
    values = sample_cubic(source, voxel_coordinates(offsets))
    if padding == "zeros":
        values = values * inside_image(offsets, image.shape[2:])
    return values.to(image.dtype)


def warp_with_derivative(image: Tensor, displacement: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """Warps by linear interpolation, border values continued, for losses that compute their own derivative.

    Args:
        image: (B, C, *spatial), floating point.
        displacement: (B, n, *output) in voxels, dtype and device of the image.

    Returns:
        The warped images (B, C, *output), and a function that turns the derivative of a loss for them, of their shape,
        into its derivative for the displacement, (B, n, *output). Neither has a graph.

    Raises:
        InputError: as `warp`; dtypes that differ.
    """
    check_pair(image, displacement)
    if not image.is_floating_point() or image.dtype != displacement.dtype:
        raise InputError(f"image is {image.dtype} and displacement {displacement.dtype}; both must be the same float")
    return sample_with_derivative(image, displacement)


def voxel_coordinates(displacement: Tensor) -> Tensor:
    """Returns p + u(p) as (B, n, *spatial): voxel coordinates in the order (x, y[, z])."""
    coordinates = []
    for axis, size in enumerate(reversed(displacement.shape[2:])):
        line = torch.arange(size, dtype=displacement.dtype, device=displacement.device)
        coordinates.append(displacement[:, axis] + line.view([-1] + [1] * axis))
    return torch.stack(coordinates, dim=1)


def inside_image(displacement: Tensor, spatial: torch.Size | tuple[int, ...]) -> Tensor:
    """Returns (B, 1, *output), true where p + u(p) is inside an image of the given size.

    The image includes the borders of its voxels: [-0.5, size - 0.5] on every axis.
    """
    coordinates = voxel_coordinates(displacement)
    limits = coordinates.new_tensor(list(reversed(spatial))).view(1, -1, *[1] * (displacement.ndim - 2)) - 0.5
    return ((coordinates >= -0.5) & (coordinates <= limits)).all(dim=1, keepdim=True)


def _warp_nearest(image: Tensor, displacement: Tensor, padding: str) -> Tensor:
    coordinates = voxel_coordinates(displacement.detach().to(torch.promote_types(displacement.dtype, torch.float32)))
    lower, stride = torch.zeros_like(coordinates[:, 0], dtype=torch.long), 1
    for axis, size in enumerate(reversed(image.shape[2:])):
        lower += coordinates[:, axis].round().clamp_(0, size - 1).long() * stride
        stride *= size
    index = lower.flatten(1)[:, None].expand(-1, image.shape[1], -1)
    values = image.detach().flatten(2).gather(2, index).reshape(*image.shape[:2], *displacement.shape[2:])
    if padding == "zeros":
        values = values * inside_image(displacement, image.shape[2:]).to(values.dtype)
    return values


def points_through(displacement: Tensor, points: Tensor) -> Tensor:
    """Maps points of the fixed grid to the moving one: q + u(q), u interpolated linearly.

    Args:
        displacement: (B, n, *spatial) in voxels, channels (x, y[, z]).
        points: (B, N, n) voxel coordinates (x, y[, z]) on the displacement's grid. Outside, the displacement of the
            border continues.

    Returns:
        (B, N, n). Differentiable for both.

    Raises:
        InputError: shapes that do not fit each other.
    """
    check_displacement(displacement)
    dimension = displacement.shape[1]
    if points.ndim != 3 or points.shape[0] != displacement.shape[0] or points.shape[2] != dimension:
        raise InputError(f"points: expected shape ({displacement.shape[0]}, N, {dimension}), got {tuple(points.shape)}")
    dtype = torch.promote_types(torch.promote_types(points.dtype, displacement.dtype), torch.float32)
    moved = sample_points(displacement.to(dtype), points.to(dtype).transpose(1, 2))
    return (points.to(dtype) + moved.transpose(1, 2)).to(points.dtype if points.is_floating_point() else dtype)
