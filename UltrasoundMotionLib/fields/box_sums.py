"""Sums over windows of voxels, at a cost that does not depend on the window's size.

Along each axis the sum is a product with a banded matrix of ones, block by block: additions only, so that nothing
cancels as it would in differences of running sums, and matrix products are what CPUs and GPUs do fastest.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

BLOCK = 128


@lru_cache(maxsize=64)
def _band(rows: int, columns: int, shift: int, window: int, *, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Returns a (rows, columns) matrix, 1 where input voxel row + shift lies in the window of output voxel column."""
    with torch.inference_mode(False):  # a cached tensor must be usable in a later backward pass
        offset = torch.arange(rows, device=device)[:, None] + shift - torch.arange(columns, device=device)
        return ((offset >= -(window // 2)) & (offset < window - window // 2)).to(dtype)


def _sum_along(values: Tensor, axis: int, window: int, adjoint: bool) -> Tensor:
    """Windowed sums of a contiguous (images, *spatial) tensor along one axis."""
    size = values.shape[axis]
    before, after = window // 2, window - 1 - window // 2
    if adjoint:
        before, after = after, before
    inner = values.shape[axis + 1 :].numel()
    view = values.reshape(-1, size) if inner == 1 else values.reshape(-1, size, inner)
    pieces = []
    for start in range(0, size, BLOCK):
        stop = min(size, start + BLOCK)
        first, last = max(0, start - before), min(size, stop + after)
        if adjoint:
            band = _band(stop - start, last - first, start - first, window, dtype=values.dtype, device=values.device).T
        else:
            band = _band(last - first, stop - start, first - start, window, dtype=values.dtype, device=values.device)
        piece = view[:, first:last]
        pieces.append(piece @ band if inner == 1 else torch.matmul(band.T, piece))
    result = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)
    return result.reshape(values.shape)


def box_sum(images: Tensor, window: int | tuple[int, ...], *, adjoint: bool = False) -> Tensor:
    """Sums the window around every voxel; a window cut by the border sums the voxels inside the image.

    Args:
        images: (N, H, W) or (N, D, H, W), float32 or float64. Every leading image is summed on its own.
        window: edge length in voxels, one number or one per axis in the order of the spatial axes. Odd windows are
            centred; an even window of 2 k covers the offsets -k .. k - 1.
        adjoint: the transposed operation (offsets negated), for derivatives; the same for odd windows.

    Returns:
        The same shape and dtype, under `torch.autocast` too. Differentiable.
    """
    windows = (window,) * (images.ndim - 1) if isinstance(window, int) else window
    with torch.autocast(images.device.type, enabled=False):
        result = images.contiguous()
        for axis in range(images.ndim - 1, 0, -1):
            if windows[axis - 1] > 1:
                result = _sum_along(result, axis, windows[axis - 1], adjoint)
    return result


@lru_cache(maxsize=16)
def window_counts(
    spatial: tuple[int, ...], window: int | tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Returns the number of image voxels in each window, (1, *spatial)."""
    with torch.inference_mode(False):
        return box_sum(torch.ones(1, *spatial, dtype=dtype, device=device), window)
