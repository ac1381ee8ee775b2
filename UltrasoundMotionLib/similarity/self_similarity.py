"""MIND with self-similarity context, features comparable across modalities (Heinrich et al., MICCAI 2013)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.box_sums import box_sum, window_counts


def mind_channels(dimension: int) -> int:
    """Returns the number of channels of `mind`: 12 in 3D, 4 in 2D."""
    return 2 * dimension * (dimension - 1)


def mind(image: Tensor, *, radius: int = 1, dilation: int = 2) -> Tensor:
    """Computes the MIND-SSC descriptor: the similarity exp(-(D - min D) / V) of pairs of patches around each voxel.

    The pairs are the neighbours along two different axes (12 edges of the octahedron in 3D, 4 in 2D), D their mean
    squared difference over a patch, V the mean of D over the pairs, clamped to 0.001 to 1000 times its mean over the
    image.

    Args:
        image: (B, 1, *spatial), floating point.
        radius: patch radius; the edge is 2 radius + 1 voxels.
        dilation: distance of the neighbours in voxels.

    Returns:
        (B, 12, *spatial) in 3D, (B, 4, *spatial) in 2D, in [0, 1]. Differentiable. Compare two descriptors by `mse`.

    Raises:
        InputError: another shape; radius or dilation below 1.
    """
    if (
        not isinstance(image, Tensor)
        or image.ndim not in (4, 5)
        or image.shape[1] != 1
        or not image.is_floating_point()
    ):
        raise InputError(
            f"image: expected a floating point (B, 1, *spatial) tensor, got {tuple(getattr(image, 'shape', ()))}"
        )
    if radius < 1 or dilation < 1:
        raise InputError(f"radius and dilation: expected 1 voxel or more, got {radius} and {dilation}")
    values = image.to(torch.promote_types(image.dtype, torch.float32))[:, 0]
    window = 2 * radius + 1
    counts = window_counts(tuple(values.shape[1:]), window, values.dtype, values.device)
    neighbours = {
        (axis, sign): _shift(values, axis, sign * dilation) for axis in range(1, values.ndim) for sign in (-1, 1)
    }
    pairs = [
        (neighbours[first, one], neighbours[second, other])
        for first, second in itertools.combinations(range(1, values.ndim), 2)
        for one, other in itertools.product((-1, 1), repeat=2)
    ]
    differences = torch.cat([(first - second).square() for first, second in pairs])
    distances = (box_sum(differences, window) / counts).reshape(len(pairs), *values.shape).transpose(0, 1)
    distances = distances - distances.amin(dim=1, keepdim=True)
    variance = distances.mean(dim=1, keepdim=True)
    typical = variance.detach().mean(dim=tuple(range(1, variance.ndim)), keepdim=True).clamp(min=1e-12)
    variance = torch.minimum(torch.maximum(variance, typical * 0.001), typical * 1000)
    return torch.exp(-distances / variance)


def _shift(values: Tensor, axis: int, distance: int) -> Tensor:
    """Returns values[p + distance] along the axis; the border voxel is repeated."""
    size = values.shape[axis]
    index = (torch.arange(size, device=values.device) + distance).clamp_(0, size - 1)
    return values.index_select(axis, index)
