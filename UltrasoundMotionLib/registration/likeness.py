"""The terms of likeness that a field is optimised for, in one direction and at one scale."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import warp
from UltrasoundMotionLib.similarity import LocalCrossCorrelation, mind, mse

THICK_SLICES = 2.5
"""An axis with this many times the finest spacing holds slices: windows and patches stay within each."""


@dataclass(frozen=True)
class LikenessWeights:
    """Which terms count how much; the loss is their sum.

    Attributes:
        lncc: of 1 - local cross-correlation (squared form), averaged over the windows.
        windows: edge lengths of its windows in voxels in 3D.
        plane_windows: the same in 2D, and within thick slices; wider, since a square holds fewer voxels than a cube.
        mse: of the mean squared difference of intensities, each image in [0, 1].
        mind: of the mean squared difference of MIND-SSC features, for other modalities.
    """

    lncc: float = 1.0
    windows: tuple[int, ...] = (5,)
    plane_windows: tuple[int, ...] = (9,)
    mse: float = 0.0
    mind: float = 0.0

    def __post_init__(self) -> None:
        if min(self.lncc, self.mse, self.mind) < 0 or max(self.lncc, self.mse, self.mind) == 0:
            raise InputError(f"likeness: weights must be 0 or more and one above 0, got lncc {self.lncc}, mse {self.mse}, mind {self.mind}")
        for windows in (self.windows, self.plane_windows):
            if self.lncc and (not windows or min(windows) < 2):
                raise InputError(f"likeness: windows must be 2 voxels or more, got {windows}")


class Likeness:
    """The loss of warping one image onto the other.

    Args:
        fixed, moving: (1, 1, *spatial).
        mask: of the fixed image, or None.
        weights: of the terms.
        spacing: relative, (x, y[, z]).
    """

    def __init__(self, fixed: Tensor, moving: Tensor, mask: Tensor | None, weights: LikenessWeights, spacing: tuple[float, ...]) -> None:
        self._weights, self._moving, self._mask = weights, moving, mask
        self._slice_axis = _slice_axis(spacing)
        self._fixed = fixed
        by_slice = None if mask is None else self._by_slice(mask)
        self._correlations = []
        if weights.lncc:
            in_plane = self._slice_axis is not None or fixed.ndim == 4
            windows = weights.plane_windows if in_plane else weights.windows
            self._correlations = [LocalCrossCorrelation(self._by_slice(fixed), window, mask=by_slice) for window in windows]
        if weights.mind:
            self._features = [self._whole(mind(self._by_slice(image))) for image in (fixed, moving)]

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
        return total

    def _by_slice(self, image: Tensor) -> Tensor:
        """(1, C, *spatial) -> (slices, C, *plane); as it is where no axis is thick."""
        return image if self._slice_axis is None else image[0].movedim(self._slice_axis, 0).contiguous()

    def _whole(self, slices: Tensor) -> Tensor:
        return slices if self._slice_axis is None else slices.movedim(0, self._slice_axis)[None].contiguous()


def _slice_axis(spacing: tuple[float, ...]) -> int | None:
    """Which axis of a (C, D, H, W) image holds thick slices."""
    if len(spacing) < 3:
        return None
    ordered = sorted(spacing)
    if ordered[2] < THICK_SLICES * ordered[0] or ordered[1] >= THICK_SLICES * ordered[0]:
        return None
    return 3 - spacing.index(ordered[2])


def scaled_mask(mask: Tensor | None, spatial: tuple[int, ...]) -> Tensor | None:
    """A mask on a coarser grid; None where nothing would be left."""
    if mask is None or tuple(mask.shape[2:]) == spatial:
        return mask
    pooled = torch.nn.functional.interpolate(mask, size=spatial, mode="nearest")
    return pooled if bool(pooled.any()) else None
