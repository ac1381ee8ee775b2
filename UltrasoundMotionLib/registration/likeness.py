"""The loss that a field is optimised for, in one direction and at one scale."""

from __future__ import annotations

import torch
from torch import Tensor

from UltrasoundMotionLib.fields import warp
from UltrasoundMotionLib.registration.likeness_weights import THICK_SLICES, LikenessWeights
from UltrasoundMotionLib.similarity import LocalCrossCorrelation, mind, mse

_LEAST_ENERGY = 1e-6
"""Least sum of squares of class maps: a class that neither image has adds nothing."""


class Likeness:
    """The dissimilarity of one image and the other, warped onto it.

    Args:
        fixed, moving: (1, 1, *spatial).
        mask: of the fixed image, or None.
        weights: of the terms.
        spacing: relative, (x, y[, z]).
        maps: (1, C, *spatial) of the fixed and of the moving image, for `weights.maps`.
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
        self._slice_axis = _slice_axis(spacing)
        self._fixed = fixed
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
        self._maps = maps if weights.maps else None

    def loss(self, displacement: Tensor) -> Tensor:
        """A scalar for a displacement (1, n, *spatial) in voxels; differentiable."""
        weights = self._weights
        total = displacement.new_zeros(())
        if weights.lncc or weights.mse:
            warped = warp(self._moving, displacement)
            if weights.lncc:
                slices = self._by_slice(warped)
                share = weights.lncc / len(self._correlations)
                total = total + sum(share * (1 - correlation(slices)) for correlation in self._correlations)
            if weights.mse:
                total = total + weights.mse * mse(self._fixed, warped, mask=self._mask)
        if weights.mind:
            fixed, moving = self._features
            total = total + weights.mind * mse(fixed, warp(moving, displacement), mask=self._mask)
        if self._maps is not None:
            fixed, moving = self._maps
            total = total + weights.maps * _map_difference(fixed, warp(moving, displacement))
        return total

    def _by_slice(self, image: Tensor) -> Tensor:
        """Splits (1, C, *spatial) into thick slices, (slices, C, *plane); unchanged where no axis is thick."""
        return image if self._slice_axis is None else image[0].movedim(self._slice_axis, 0).contiguous()

    def _whole(self, slices: Tensor) -> Tensor:
        return slices if self._slice_axis is None else slices.movedim(0, self._slice_axis)[None].contiguous()


def _map_difference(fixed: Tensor, moving: Tensor) -> Tensor:
    """Squared difference of class maps (B, C, *spatial) over the sum of their squares, averaged over the classes.

    It equals 1 - Dice for hard maps.
    """
    axes = tuple(range(2, fixed.ndim))
    return (
        (fixed - moving).square().sum(axes) / (fixed.square() + moving.square()).sum(axes).clamp(min=_LEAST_ENERGY)
    ).mean()


def _slice_axis(spacing: tuple[float, ...]) -> int | None:
    """The axis of a (C, D, H, W) image that holds thick slices; None where there is none."""
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
