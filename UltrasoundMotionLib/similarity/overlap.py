"""Overlap of label maps: Dice per label, and its differentiable form."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.similarity.tensor_checks import check_images, check_mask


def dice(
    fixed: Tensor, moving: Tensor, labels: Sequence[int] | None = None, *, mask: Tensor | None = None
) -> dict[int, float]:
    """Computes the Dice coefficient 2 |A and B| / (|A| + |B|) of every label.

    Args:
        fixed, moving: label maps of one shape (any); integers, or floats that hold integers.
        labels: the labels to compare; by default every label above 0 in either map.
        mask: of the same shape; voxels above 0 count.

    Returns:
        Dice by label, 0 to 1; NaN for a label in neither map.

    Raises:
        InputError: shapes that differ.
    """
    if fixed.shape != moving.shape or (mask is not None and mask.shape != fixed.shape):
        shapes = f"fixed {tuple(fixed.shape)}, moving {tuple(moving.shape)}"
        if mask is not None:
            shapes += f", mask {tuple(mask.shape)}"
        raise InputError(f"labels: {shapes} must have the same shape")
    first, second = fixed.flatten().long(), moving.flatten().long()
    if mask is not None:
        inside = mask.flatten() > 0
        first, second = first[inside], second[inside]
    if labels is None:
        labels = sorted(set(first.unique().tolist()) | set(second.unique().tolist()))
        labels = [label for label in labels if label > 0]
    result = {}
    for label in labels:
        in_first, in_second = first == label, second == label
        total = int(in_first.sum()) + int(in_second.sum())
        result[int(label)] = 2 * int((in_first & in_second).sum()) / total if total else float("nan")
    return result


def soft_dice(fixed: Tensor, moving: Tensor, *, mask: Tensor | None = None, epsilon: float = 1e-6) -> Tensor:
    """Computes 2 sum(a b) / (sum(a) + sum(b)) of every channel, averaged over batch and channels.

    Equal to `dice` on one-hot maps.

    Args:
        fixed, moving: (B, C, *spatial) probabilities in [0, 1], one channel per label, without the background.
        mask: (B or 1, 1, *spatial); voxels above 0 count.
        epsilon: added to numerator and denominator, so that a channel empty in both counts 1.

    Returns:
        A scalar tensor in [0, 1], differentiable; the loss is 1 minus it.

    Raises:
        InputError: shapes that do not fit, an empty mask.
    """
    check_images(fixed, moving)
    dtype = torch.promote_types(torch.promote_types(fixed.dtype, moving.dtype), torch.float32)
    first, second = fixed.to(dtype), moving.to(dtype)
    if mask is not None:
        inside = check_mask(mask, fixed)
        first, second = (torch.where(inside, one, torch.zeros_like(one)) for one in (first, second))
    axes = tuple(range(2, first.ndim))
    return ((2 * (first * second).sum(axes) + epsilon) / (first.sum(axes) + second.sum(axes) + epsilon)).mean()


def one_hot(labels: Tensor, values: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    """Converts labels (B, 1, *spatial) to one channel per value, (B, len(values), *spatial).

    Raises:
        InputError: another shape.
    """
    if labels.ndim not in (4, 5) or labels.shape[1] != 1:
        raise InputError(f"labels: expected shape (B, 1, *spatial), got {tuple(labels.shape)}")
    return torch.cat([labels == value for value in values], dim=1).to(dtype)
