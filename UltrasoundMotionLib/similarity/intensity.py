"""Similarity of intensities, voxel by voxel."""

from __future__ import annotations

import torch
from torch import Tensor

from UltrasoundMotionLib.similarity.tensor_checks import check_images, check_mask


def mse(fixed: Tensor, moving: Tensor, *, mask: Tensor | None = None) -> Tensor:
    """Computes the mean squared difference over all voxels and channels, or those of a mask.

    Args:
        fixed, moving: (B, C, *spatial).
        mask: (B or 1, 1, *spatial); voxels above 0 count.

    Returns:
        A scalar tensor, differentiable for both; 0 for equal images. The loss is the value itself.

    Raises:
        InputError: shapes that do not fit, an empty mask.
    """
    check_images(fixed, moving)
    dtype = torch.promote_types(torch.promote_types(fixed.dtype, moving.dtype), torch.float32)
    difference = fixed.to(dtype) - moving.to(dtype)
    if mask is not None:
        difference = difference[check_mask(mask, fixed).expand(fixed.shape)]
    return difference.square().mean()
