"""The loss that a field is optimised for, at one scale, with its derivative."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from UltrasoundMotionLib.fields import warp_with_derivative
from UltrasoundMotionLib.registration.likeness_weights import THICK_SLICES, LikenessWeights
from UltrasoundMotionLib.similarity import LocalCrossCorrelation, mind

_LEAST_ENERGY = 1e-6
"""Least sum of squares of class maps: a class that neither image has adds nothing."""

_LEAST_SHARE = 0.01
"""Class maps are compared where a class has this probability, and ..."""

_MARGIN = 4
"""... so many voxels around: more than tissue can come from at one scale, after those before it."""


class Likeness:
    """The dissimilarity of images and others, warped onto them.

    Args:
        fixed, moving: (B, 1, *spatial); every pair of the batch counts the same.
        mask: of the fixed images, (B, 1, *spatial), or None.
        weights: of the terms.
        spacing: relative, (x, y[, z]).
        maps: (B, C, *spatial) of the fixed and of the moving images, for `weights.maps`.
    """

    def __init__(
        self,
        fixed: Tensor,
        moving: Tensor,
        mask: Tensor | None,
        weights: LikenessWeights,
        spacing: tuple[float, ...],
        *,
        maps: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self._weights, self._moving, self._mask = weights, moving, mask
        self._slice_axis = slice_axis(spacing)
        self._fixed = fixed
        self.batch = fixed.shape[0]
        by_slice = None if mask is None else self._by_slice(mask)
        self._correlations = []
        if weights.lncc:
            in_plane = self._slice_axis is not None or fixed.ndim == 4
            windows = weights.plane_windows if in_plane else weights.windows
            self._correlations = [
                LocalCrossCorrelation(self._by_slice(fixed), window, mask=by_slice) for window in windows
            ]
        if weights.mind:
            self._features = [self._whole(mind(self._by_slice(image))) for image in (fixed, moving)]
        self._maps = None
        if maps is not None and weights.maps and (box := _box_of(maps)) is not None:
            self._box = box
            self._maps = maps[0][box].contiguous(), maps[1][box].contiguous()

    def loss(self, displacement: Tensor) -> Tensor:
        """A scalar for displacements (B, n, *spatial) in voxels; differentiable."""
        return _Loss.apply(displacement, self)

    def loss_and_force(self, displacement: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of displacements (B, n, *spatial) in voxels, and its derivative for them, without a graph."""
        weights = self._weights
        total, force = displacement.new_zeros(()), torch.zeros_like(displacement)
        if weights.lncc or weights.mse:
            term, through = self._through_warp(self._moving, displacement, self._of_intensities)
            total, force = total + term, force.add_(through)
        if weights.mind:
            fixed, moving = self._features
            term, through = self._through_warp(
                moving, displacement, lambda warped: self._squared(fixed, warped, weights.mind)
            )
            total, force = total + term, force.add_(through)
        if self._maps is not None:
            fixed_maps, moving_maps = self._maps
            part = displacement[self._box].contiguous()
            term, through = self._through_warp(
                moving_maps, part, lambda warped: _map_difference(fixed_maps, warped, weights.maps)
            )
            total = total + term
            force[self._box] += through
        return total, force

    @staticmethod
    def _through_warp(image: Tensor, displacement: Tensor, term: Any) -> tuple[Tensor, Tensor]:
        """Returns a term, warped images -> (value, derivative), and its derivative for the displacement."""
        warped, for_displacement = warp_with_derivative(image, displacement)
        value, derivative = term(warped)
        return value, for_displacement(derivative)

    def _of_intensities(self, warped: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the terms of the intensities and their derivative for the warped images."""
        weights = self._weights
        total, derivative = warped.new_zeros(()), torch.zeros_like(warped)
        if weights.mse:
            total, derivative = self._squared(self._fixed, warped, weights.mse)
        if self._correlations:
            slices, share = self._by_slice(warped), weights.lncc / len(self._correlations)
            for correlation in self._correlations:
                value, through = correlation.with_derivative(slices)
                total = total + share * (1 - value)
                derivative.sub_(self._whole(through), alpha=share)
        return total, derivative

    def _squared(self, fixed: Tensor, warped: Tensor, weight: float) -> tuple[Tensor, Tensor]:
        """Returns the weighted mean squared difference inside the mask, and its derivative."""
        difference = warped - fixed
        count: Tensor | int = difference.numel()
        if self._mask is not None:
            inside = (self._mask > 0).to(difference.dtype)
            difference, count = difference * inside, inside.sum() * difference.shape[1]
        share = weight / count
        return difference.square().sum() * share, difference.mul_(2 * share)

    def _by_slice(self, image: Tensor) -> Tensor:
        """Splits (B, C, *spatial) into thick slices, (B * slices, C, *plane); unchanged where no axis is thick."""
        if self._slice_axis is None:
            return image
        return image.movedim(self._slice_axis + 1, 1).flatten(0, 1).contiguous()

    def _whole(self, slices: Tensor) -> Tensor:
        if self._slice_axis is None:
            return slices
        return slices.reshape(self.batch, -1, *slices.shape[1:]).movedim(1, self._slice_axis + 1).contiguous()


class _Loss(torch.autograd.Function):
    """The loss of a `Likeness` in a graph; its derivative is computed with it."""

    @staticmethod
    def forward(ctx: Any, displacement: Tensor, likeness: Likeness) -> Tensor:
        """Computes the loss."""
        loss, force = likeness.loss_and_force(displacement)
        ctx.save_for_backward(force)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Returns the gradients of the inputs, in the order of `forward`."""
        return ctx.saved_tensors[0] * gradient, None


def _map_difference(fixed: Tensor, moving: Tensor, weight: float) -> tuple[Tensor, Tensor]:
    """Weighted squared difference of class maps (B, C, *spatial) over the sum of their squares, averaged over the
    classes, and its derivative for the second.

    It equals weight * (1 - Dice) for hard maps.
    """
    axes = tuple(range(2, fixed.ndim))
    difference = moving - fixed
    energy = (fixed.square().sum(axes, keepdim=True) + moving.square().sum(axes, keepdim=True)).clamp(min=_LEAST_ENERGY)
    ratios = difference.square().sum(axes, keepdim=True) / energy
    share = 2 * weight / ratios.numel() / energy
    return weight * ratios.mean(), difference.mul_(share).sub_(moving * (ratios * share))


def _box_of(maps: tuple[Tensor, Tensor]) -> tuple[slice, ...] | None:
    """The box of (B, C, *spatial) maps around the classes of either image, with a margin; None where there are none."""
    likely = (torch.cat(maps).amax(dim=(0, 1)) > _LEAST_SHARE).float()
    if not bool(likely.any()):
        return None
    box = [slice(None), slice(None)]
    for axis, size in enumerate(likely.shape):
        found = torch.nonzero(likely.amax(dim=tuple(one for one in range(likely.ndim) if one != axis))).flatten()
        box.append(slice(max(0, int(found[0]) - _MARGIN), min(size, int(found[-1]) + _MARGIN + 1)))
    return tuple(box)


def slice_axis(spacing: tuple[float, ...]) -> int | None:
    """Returns the axis of a (C, D, H, W) image along which thick slices are stacked; None where there is none.

    Args:
        spacing: (x, y[, z]).
    """
    if len(spacing) < 3:
        return None
    ordered = sorted(spacing)
    if ordered[2] < THICK_SLICES * ordered[0] or ordered[1] >= THICK_SLICES * ordered[0]:
        return None
    return 3 - spacing.index(ordered[2])


def scaled_mask(mask: Tensor | None, spatial: tuple[int, ...]) -> Tensor | None:
    """A mask on a coarser grid; None where no voxel of it would be left."""
    if mask is None or tuple(mask.shape[2:]) == spatial:
        return mask
    pooled = torch.nn.functional.interpolate(mask, size=spatial, mode="nearest")
    return pooled if bool(pooled.any()) else None
