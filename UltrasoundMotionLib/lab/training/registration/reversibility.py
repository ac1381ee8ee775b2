"""How far going there and back misses the start, and the robust penalty on it: LT-Net's cycle supervision."""

from __future__ import annotations

import torch
from torch import Tensor

from UltrasoundMotionLib.fields import compose, warp
from UltrasoundMotionLib.similarity import soft_dice

CHARBONNIER_EPSILON = 1e-3
CHARBONNIER_EXPONENT = 0.45
"""UnFlow's (Meister et al., AAAI 2018), which LT-Net's supplement cites for forward-backward supervision."""


def charbonnier(
    squared_length: Tensor, epsilon: float = CHARBONNIER_EPSILON, exponent: float = CHARBONNIER_EXPONENT
) -> Tensor:
    """The generalised Charbonnier penalty (d^2 + epsilon^2)^exponent of squared lengths, elementwise: nearly the
    length, and gentle to outliers.
    """
    return (squared_length + epsilon**2) ** exponent


def transformation_cycle(forth: Tensor, back: Tensor) -> Tensor:
    """Mean penalty on the residual back(x) + forth(x + back(x)), the way from the atlas to the image and back.

    Args:
        forth: (B, n, *spatial), image to atlas voxels, image(x) = atlas(x + forth(x)).
        back: the same from atlas to image voxels.

    Returns:
        A scalar tensor, differentiable for both.
    """
    return charbonnier(compose(forth, back).square().sum(1)).mean()


def image_cycle(atlas: Tensor, warped: Tensor, back: Tensor) -> Tensor:
    """Mean absolute difference between the atlas (B, 1, *spatial) and the atlas that went to the image and back."""
    return (atlas - warp(warped, back)).abs().mean()


def anatomy_cycle(labels: Tensor, warped_labels: Tensor, back: Tensor) -> Tensor:
    """1 - Dice between the atlas's labels (B, L, *spatial), one channel a label, and the labels that went to the image
    and back.
    """
    return 1 - soft_dice(labels, warp(warped_labels, back))


def mean_gradient_length(displacement: Tensor) -> Tensor:
    """Eq. 2 and 3 of LT-Net's supplement: the length of the difference between neighbours, averaged over axes and
    voxels (there: summed over voxels).

    Lengths, not their squares as in `similarity.diffusion`: sharp bends cost no more than gentle ones over the same
    way.
    """
    axes = range(2, displacement.ndim)
    lengths = [charbonnier(displacement.diff(dim=axis).square().sum(1), exponent=0.5).mean() for axis in axes]
    return torch.stack(lengths).mean()
