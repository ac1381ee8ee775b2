"""Normalised gradient fields: edges that point the same way, whatever their sign and strength."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.jacobian import spatial_gradient
from UltrasoundMotionLib.similarity.tensor_checks import check_images, check_mask


def ngf(
    fixed: Tensor,
    moving: Tensor,
    *,
    spacing_mm: Sequence[float] | None = None,
    edge: float | None = None,
    mask: Tensor | None = None,
) -> Tensor:
    """Mean squared cosine between the image gradients (Haber and Modersitzki, MICCAI 2006; the form of Ruehaak et al.,
    2013).

    (grad F . grad M + e_F e_M)^2 / ((|grad F|^2 + e_F^2) (|grad M|^2 + e_M^2)), in [0, 1]; places where both images are
    flat count 1, as both agree.

    Args:
        fixed, moving: (B, C, *spatial).
        spacing_mm: in the order (x, y[, z]); without it gradients are taken per voxel.
        edge: gradients well below this are noise, in intensity per mm (or voxel), the same for both images. By default
            each image's mean gradient length inside the mask, a constant for the derivative (Haber and Modersitzki's
            choice, Eq. 3).
        mask: (B or 1, 1, *spatial); voxels above 0 count where the neighbours that their gradient reads are above 0 as
            well.

    Returns:
        A scalar tensor, differentiable for both; the loss is 1 minus it.

    Raises:
        InputError: shapes that do not fit, a mask without such voxels, spacing or edge that is not positive.
    """
    check_images(fixed, moving)
    dimension = fixed.ndim - 2
    spacing = [1.0] * dimension if spacing_mm is None else [float(value) for value in spacing_mm]
    if len(spacing) != dimension or min(spacing) <= 0:
        raise InputError(f"spacing_mm: expected {dimension} positive numbers, got {spacing_mm}")
    if edge is not None and edge <= 0:
        raise InputError(f"edge: expected a positive number, got {edge}")
    dtype = torch.promote_types(torch.promote_types(fixed.dtype, moving.dtype), torch.float32)
    inside = None if mask is None else _with_neighbours(check_mask(mask, fixed))
    gradients, edges = [], []
    for image in (fixed.to(dtype), moving.to(dtype)):
        if mask is None:
            gradient = spatial_gradient(image, spacing).flatten(1)
        else:
            known = torch.where(mask > 0, image, torch.zeros_like(image))
            gradient = spatial_gradient(known, spacing)[:, inside.expand(image.shape)]
        gradients.append(gradient)
        if edge is None:
            typical = gradient.detach().square().sum(0).sqrt().mean()
            edges.append(typical.clamp(min=torch.finfo(dtype).tiny ** 0.25))
        else:
            edges.append(fixed.new_tensor(edge, dtype=dtype))
    product = (gradients[0] * gradients[1]).sum(0) + edges[0] * edges[1]
    squares = [gradient.square().sum(0) + one.square() for gradient, one in zip(gradients, edges, strict=True)]
    return (product.square() / (squares[0] * squares[1])).mean()


def _with_neighbours(inside: Tensor) -> Tensor:
    """Where a voxel and its face neighbours within the image are all inside."""
    result = inside.clone()
    for axis in range(2, inside.ndim):
        size = inside.shape[axis]
        result.narrow(axis, 1, size - 1).logical_and_(inside.narrow(axis, 0, size - 1))
        result.narrow(axis, 0, size - 1).logical_and_(inside.narrow(axis, 1, size - 1))
    if not bool(result.any()):
        raise InputError("mask: no voxel whose neighbours are above 0 as well, which a gradient needs")
    return result
