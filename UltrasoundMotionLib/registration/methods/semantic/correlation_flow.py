"""B-spline FlowNet: a correlation layer compares the features of both images, and gives a B-spline field."""

from __future__ import annotations

import math
from itertools import pairwise, product

import torch
from torch import Tensor, nn
from torch.nn import functional

from UltrasoundMotionLib.fields import integrate_velocity
from UltrasoundMotionLib.registration.methods.semantic.feature_unet import NormalisedConvolution
from UltrasoundMotionLib.registration.methods.semantic.registration_network import (
    ControlPointHead,
    TwoStepOutput,
    spline_field,
)
from UltrasoundMotionLib.registration.methods.semantic.two_step_config import SQUARINGS, TwoStepConfig

_COMPARED_AT = 2
"""Strided convolutions before the correlation: at a quarter of the image's resolution (FlowNetC: an eighth, of images
four times as large).
"""


def correlation(fixed: Tensor, moving: Tensor, furthest: int) -> Tensor:
    """Correlates the features at p in one map with those at p + d in the other, for all whole displacements d.

    FlowNetC's layer for single voxels (Dosovitskiy et al., FlowNet, ICCV 2015, Eq. 1 with K = 1, divided by the number
    of channels).

    Args:
        fixed, moving: (B, C, *spatial).
        furthest: the largest component of d, in voxels.

    Returns:
        (B, (2 furthest + 1)^n, *spatial), d in the order of its components along the spatial axes, the last axis
        fastest; 0 where p + d is outside.
    """
    spatial = fixed.shape[2:]
    padded = functional.pad(moving, [furthest, furthest] * len(spatial))
    compared = []
    for shift in product(range(2 * furthest + 1), repeat=len(spatial)):
        window = tuple(slice(first, first + size) for first, size in zip(shift, spatial, strict=True))
        compared.append((fixed * padded[:, :, *window]).mean(1))
    return torch.stack(compared, dim=1)


class CorrelationFlow(nn.Module):
    """The "B-Spline FlowNet" of the paper's Table 1: FlowNetC's correlation layer with the paper's B-spline field.

    The paper describes it in one sentence. Here both images go through the same convolutions to a quarter of the
    resolution, their features of length 1 are correlated (`config.correlation` voxels at most), and the correlation,
    joined with 1 x 1 convolved features of the fixed image as in FlowNetC, goes down to the control points. It has
    about the parameters of both registration networks together, one scale and no classes.
    """

    def __init__(self, config: TwoStepConfig) -> None:
        super().__init__()
        self.config = config
        n, furthest = config.unet.dimension, config.correlation or 1
        first = config.channels[: _COMPARED_AT + 1]
        self.features = nn.ModuleList(
            NormalisedConvolution(n, i, o, 1 if place == 0 else 2)
            for place, (i, o) in enumerate(pairwise((1, *first[:_COMPARED_AT], first[1])))
        )
        self.redirect = (nn.Conv2d if n == 2 else nn.Conv3d)(first[1], first[0], 1)
        # the control points lie where those of the registration networks do: spacing 2^(levels - 1) of half the
        # resolution
        self.spacing = 2 ** (len(config.channels) - 1)
        strides = int(math.log2(self.spacing)) + 1 - _COMPARED_AT
        widths = [(2 * furthest + 1) ** n + first[0]] + [config.channels[-1]] * (strides + 1)
        self.down = nn.ModuleList(
            NormalisedConvolution(n, i, o, 1 if place == 0 else 2) for place, (i, o) in enumerate(pairwise(widths))
        )
        self.head = ControlPointHead(n, widths[-1], config.hidden)

    def forward(self, fixed: Tensor, moving: Tensor) -> TwoStepOutput:
        """Registers images (B, 1, *spatial), normalised; the field is on half their resolution, rounded up."""
        values = torch.cat([fixed, moving])
        for layer in self.features:
            values = layer(values)
        fixed_features, moving_features = functional.normalize(values.float(), dim=1).chunk(2)
        compared = correlation(fixed_features, moving_features, self.config.correlation or 1) * values.shape[1]
        values = torch.cat([compared, functional.leaky_relu(self.redirect(values.chunk(2)[0]), 0.1).float()], dim=1)
        for layer in self.down:
            values = layer(values)
        half = tuple(-(-size // 2) for size in fixed.shape[2:])
        field = spline_field(self.head(values), half, self.spacing, self.config.scales[0])
        return TwoStepOutput(integrate_velocity(field, SQUARINGS) if self.config.velocity else field, None, None)
