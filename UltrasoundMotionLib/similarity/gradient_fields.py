"""Normalised gradient fields: similarity of edge directions, independent of their sign and strength."""

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
    """Computes the mean squared cosine of the angle between the image gradients.

    The mean of (grad F . grad M + e_F e_M)^2 / ((|grad F|^2 + e_F^2) (|grad M|^2 + e_M^2)), in [0, 1]; 1 where both are
    flat. Haber and Modersitzki, MICCAI 2006; the form of Ruehaak et al., 2013.

    Args:
        fixed, moving: (B, C, *spatial).
        spacing_mm: in the order (x, y[, z]); without it gradients are per voxel.
        edge: e_F and e_M, in intensity per mm (or voxel); gradients well below it count as noise. By default each
            image's mean gradient length inside the mask, a constant for the derivative (Haber and Modersitzki, Eq. 3).
        mask: (B or 1, 1, *spatial); a voxel counts where it and the neighbours of its gradient are above 0.

    Returns:
        A scalar tensor, differentiable for both; the loss is 1 minus it.

    Raises:
        InputError: shapes that do not fit, a mask without such voxels, a spacing or edge that is not positive.
    """
    check_images(fixed, moving)
    dimension = fixed.ndim - 2
    spacing = [1.0] * dimension if spacing_mm is None else [float(value) for value in spacing_mm]
    if len(spacing) != dimension or min(spacing) <= 0:
        raise InputError(f"spacing_mm: expected {dimension} positive numbers, got {spacing_mm}")
    if edge is not None and edge <= 0:
        raise InputError(f"edge: expected a positive number, got {edge}")
    dtype = torch.promote_types(torch.promote_types(fixed.dtype, moving.dtype), torch.float32)
    inside = None if mask is None else check_mask(mask, fixed)
    interior = None if inside is None else _interior(inside)
    gradients, edges = [], []
    for image in (fixed.to(dtype), moving.to(dtype)):
        if inside is None or interior is None:
            gradient = spatial_gradient(image, spacing).flatten(1)
        else:
            known = torch.where(inside, image, torch.zeros_like(image))
            gradient = spatial_gradient(known, spacing)[:, interior.expand(image.shape)]
        gradients.append(gradient)
        if edge is None:
            typical = gradient.detach().square().sum(0).sqrt().mean()
            edges.append(typical.clamp(min=torch.finfo(dtype).tiny ** 0.25))
        else:
            edges.append(fixed.new_tensor(edge, dtype=dtype))
    product = (gradients[0] * gradients[1]).sum(0) + edges[0] * edges[1]
    squares = [gradient.square().sum(0) + one.square() for gradient, one in zip(gradients, edges, strict=True)]
    return (product.square() / (squares[0] * squares[1])).mean()


def _interior(inside: Tensor) -> Tensor:
    """Returns True where a voxel and its face neighbours within the image are all inside."""
    result = inside.clone()
    for axis in range(2, inside.ndim):
        size = inside.shape[axis]
        result.narrow(axis, 1, size - 1).logical_and_(inside.narrow(axis, 0, size - 1))
        result.narrow(axis, 0, size - 1).logical_and_(inside.narrow(axis, 1, size - 1))
    if not bool(result.any()):
        raise InputError("mask: no voxel whose neighbours are above 0 as well, which a gradient needs")
    return result
