"""Gaussian smoothing with a standard deviation for each axis, as one small matrix product along each."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from UltrasoundMotionLib.fields.axis_products import product_along

LEAST_DEVIATION = 0.2
_LEAST_WEIGHT = 1e-9
"""Smaller weights are 0: below single precision's accuracy, and CPUs multiply by denormal numbers 100 times slower."""


@lru_cache(maxsize=128)
def _gaussian_matrix(size: int, deviation: float, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The weights (size, size) of smoothing along an axis; each row sums to 1, so that constants stay constant."""
    with torch.inference_mode(False):
        line = torch.arange(size, dtype=torch.float64)
        matrix = torch.exp(-0.5 * ((line[:, None] - line) / deviation).square())
        matrix = matrix.where(matrix >= _LEAST_WEIGHT, 0.0)
        return (matrix / matrix.sum(1, keepdim=True)).to(dtype=dtype, device=device)


def smooth(images: Tensor, deviations: Sequence[float], *, adjoint: bool = False) -> Tensor:
    """Smooths (B, C, *spatial).

    Args:
        deviations: standard deviations in voxels, (x, y[, z]), the reverse of the spatial axes; below 0.2 an axis is
            not smoothed.
        adjoint: apply the transposed operation, as derivatives need.

    Returns:
        The same shape, contiguous.
    """
    result = images.contiguous()
    for axis, deviation in enumerate(deviations):
        along = images.ndim - 1 - axis
        size = images.shape[along]
        if deviation < LEAST_DEVIATION or size == 1:
            continue
        matrix = _gaussian_matrix(size, float(deviation), images.dtype, images.device)
        result = product_along(result, along, matrix.T if adjoint else matrix)
    return result
