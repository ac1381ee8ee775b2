"""RegNet: predicts the displacements of a coarse grid of control points from two maps of classes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import smooth_by_pooling
from UltrasoundMotionLib.registration.methods.semantic.feature_unet import NormalisedConvolution, channels_last

FIRST_FIELD_DEVIATION = 1e-3


@dataclass(frozen=True, eq=False)
class TwoStepOutput:
    """The output of a two-step network, on the grid of the features, half the image's resolution.

    Attributes:
        displacement: (B, n, *half) float32 in voxels of that grid, channels (x, y[, z]).
        fixed_scores, moving_scores: (B, classes, *half) before the softmax; None from a network without classes.
    """

    displacement: Tensor
    fixed_scores: Tensor | None
    moving_scores: Tensor | None


class ControlPointHead(nn.Module):
    """The last layers of RegNet: (B, inputs, *coarse) -> control displacements (B, n, *coarse) in control spacings.

    A convolution of one voxel, batch normalisation, PReLU, and a convolution of one voxel with weights near 0, so that
    an untrained network leaves images nearly as they are; the authors' initialisation begins with displacements as
    large as the image.
    """

    def __init__(self, dimension: int, inputs: int, hidden: int) -> None:
        super().__init__()
        convolution = nn.Conv2d if dimension == 2 else nn.Conv3d
        self.mix = convolution(inputs, hidden, 1)
        self.norm = (nn.BatchNorm2d if dimension == 2 else nn.BatchNorm3d)(hidden)
        self.activation = nn.PReLU()
        self.control = convolution(hidden, dimension, 1)
        nn.init.xavier_normal_(self.mix.weight, gain=2**0.5)
        nn.init.normal_(self.control.weight, std=FIRST_FIELD_DEVIATION)
        assert self.control.bias is not None
        nn.init.zeros_(self.control.bias)

    def forward(self, values: Tensor) -> Tensor:
        """Predicts control displacements, channels (x, y[, z])."""
        return self.control(self.activation(self.norm(self.mix(values))))


class RegistrationNetwork(nn.Module):
    """RegNet: fixed and moving features (B, 2 classes, *spatial) -> smooth displacement (B, n, *spatial) in voxels.

    Fig. 3 of Ha et al. 2020: two convolutions of 3 voxels at every resolution, between them maximum pooling by 2, then
    `ControlPointHead`; its output is interpolated linearly to the grid of the features and averaged three times over
    `scale` voxels, which makes it a cubic B-spline (Sec. 2.2).

    The authors' code gives control displacements as a part of half the image; here they are in control spacings,
    2^(levels - 1) voxels, so that a step of the optimizer means the same at every size of image.

    Args:
        dimension: 2 or 3.
        inputs: channels of both features together.
        channels: of each resolution from fine to coarse. Faces (the authors' code): 16, 32, 64, 128, 256, a control
            point every 16 voxels, smoothed over 19 and 11. With the scales 5 and 3 of the medical images the same
            proportion is a point every 4 voxels, which is three resolutions; the paper does not give them.
        hidden: channels of the head.
        scale: odd edge of the averaging windows in voxels of the features.
    """

    def __init__(self, dimension: int, inputs: int, channels: tuple[int, ...], hidden: int, scale: int) -> None:
        super().__init__()
        if len(channels) < 2 or scale < 1 or scale % 2 == 0:
            raise InputError(
                f"registration network: two or more resolutions and an odd scale are needed, got channels {channels},"
                f" scale {scale}"
            )
        self.scale, self.spacing = scale, 2 ** (len(channels) - 1)
        self.levels = nn.ModuleList(
            nn.Sequential(NormalisedConvolution(dimension, i, o), NormalisedConvolution(dimension, o, o))
            for i, o in pairwise((inputs, *channels))
        )
        self.head = ControlPointHead(dimension, channels[-1], hidden)

    def forward(self, fixed: Tensor, moving: Tensor, scale: int | None = None) -> Tensor:
        """Predicts the displacement; `scale` replaces the network's own, for steps that share one network.

        Raises:
            InputError: the features are smaller than the distance of two control points.
        """
        values = torch.cat([fixed, moving], dim=1).contiguous(memory_format=channels_last(fixed.ndim - 2))
        if min(values.shape[2:]) < self.spacing:
            raise InputError(
                f"features of {tuple(values.shape[2:])} voxels are too small; the registration network needs"
                f" {self.spacing} along each axis"
            )
        pool = functional.max_pool2d if values.ndim == 4 else functional.max_pool3d
        for place, level in enumerate(self.levels):
            values = level(values if place == 0 else pool(values, 2))
        return spline_field(self.head(values), tuple(fixed.shape[2:]), self.spacing, scale or self.scale)


def spline_field(control: Tensor, spatial: tuple[int, ...], spacing: int, scale: int) -> Tensor:
    """Expands control displacements (B, n, *coarse) in control spacings to a smooth field (B, n, *spatial) in voxels.

    Linear interpolation and three average poolings over `scale` voxels, in float32. Windows cut by the border average
    the voxels inside; the authors' code counts zeros outside, which pulls the field towards zero there.
    """
    with torch.autocast(control.device.type, enabled=False):
        mode = "bilinear" if control.ndim == 4 else "trilinear"
        dense = functional.interpolate(control.float() * spacing, size=spatial, mode=mode, align_corners=False)
        return smooth_by_pooling(dense, scale, passes=3)
