"""Interpolating cubic B-splines: prefilter and sampling, mirrored at the borders as in ITK.

M. Unser, Splines: a perfect fit for signal and image processing, IEEE Signal Processing Magazine 1999.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def cubic_weights(fraction: Tensor) -> list[Tensor]:
    """Returns the cubic B-spline weights of the control points at -1, 0, 1, 2 for a position `fraction` in [0, 1]."""
    opposite = 1 - fraction
    return [
        opposite**3 / 6,
        2 / 3 - fraction**2 + fraction**3 / 2,
        2 / 3 - opposite**2 + opposite**3 / 2,
        fraction**3 / 6,
    ]


@lru_cache(maxsize=32)
def _inverse_of_sampling(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns the (size, size) matrix from voxel values to spline coefficients along one axis.

    The coefficients are mirrored about the first and last voxel.
    """
    with torch.inference_mode(False):  # a cached tensor must be usable in a later backward pass
        if size == 1:
            return torch.ones(1, 1, dtype=dtype, device=device)
        sampling = torch.eye(size, dtype=torch.float64) * (4 / 6)
        line = torch.arange(size - 1)
        sampling[line, line + 1] = sampling[line + 1, line] = 1 / 6
        sampling[0, 1] = sampling[-1, -2] = 2 / 6
        return torch.linalg.inv(sampling).to(dtype=dtype, device=device)


def _cubic_coefficients(image: Tensor) -> Tensor:
    """Returns the coefficients of the cubic B-spline that interpolates an image (B, C, *spatial); the same shape."""
    for axis in range(2, image.ndim):
        inverse = _inverse_of_sampling(image.shape[axis], image.dtype, image.device)
        image = (image.movedim(axis, -1) @ inverse.T).movedim(-1, axis)
    return image


def sample_cubic(image: Tensor, coordinates: Tensor) -> Tensor:
    """Samples an image (B, C, *spatial) at voxel coordinates (B, n, *output), order (x, y[, z]), clamped to the image.

    Returns (B, C, *output).
    """
    flat = _cubic_coefficients(image).flatten(2)
    tables = []
    stride = 1
    for axis, size in enumerate(reversed(image.shape[2:])):
        position = coordinates[:, axis].clamp(0, size - 1).flatten(1)
        lower = position.detach().floor().clamp(max=max(size - 2, 0))
        indices = [_mirror(lower.long() + shift, size) * stride for shift in (-1, 0, 1, 2)]
        tables.append(list(zip(indices, cubic_weights(position - lower), strict=True)))
        stride *= size
    terms = [(torch.zeros_like(tables[0][0][0]), torch.ones_like(tables[0][0][1]))]
    for table in tables:
        terms = [(index + step, weight * factor) for index, weight in terms for step, factor in table]
    values = flat.new_zeros(*flat.shape[:2], coordinates[0, 0].numel())
    for index, weight in terms:
        values = values + flat.gather(2, index[:, None].expand(-1, flat.shape[1], -1)) * weight[:, None]
    return values.reshape(*image.shape[:2], *coordinates.shape[2:])


def _mirror(index: Tensor, size: int) -> Tensor:
    """Folds indices back into [0, size - 1] about the first and the last voxel."""
    if size == 1:
        return torch.zeros_like(index)
    period = 2 * (size - 1)
    folded = index.remainder(period)
    return torch.minimum(folded, period - folded)
