"""VoxelMorph's U-Net: a field from two images. SSMSR uses it for the residual field of one scale."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError

NEGATIVE_SLOPE = 0.2
_FIRST_FIELD_DEVIATION = 1e-5


class ResidualUNet(nn.Module):
    """A U-Net from moving and fixed image, (B, 2, *spatial), to a field (B, n, *output), channels (x, y[, z]).

    Balakrishnan et al., VoxelMorph, CVPR 2018 and TMI 2019: convolutions of 3 voxels with stride 2 down to 1/16, then
    up with skip connections, LeakyReLU 0.2, and a last convolution with weights near 0, so that an untrained network
    leaves images as they are. SSMSR takes "the same network structure and number of channels in each convolution" and
    only draws its Fig. 1; the channels here are VoxelMorph-2's. Images may have any size: features on the way up are
    resized to those of their skip connection.

    Args:
        dimension: 2 or 3.
        encoder: channels of the convolutions on the way down.
        decoder: channels on the way up, one more than the encoder's at most half the input's resolution, the rest at
            full resolution.
        full_size: False leaves out the convolutions at full resolution: the field has half of the input's voxels along
            each axis (rounded up).
    """

    def __init__(
        self,
        dimension: int,
        encoder: tuple[int, ...] = (16, 32, 32, 32),
        decoder: tuple[int, ...] = (32, 32, 32, 32, 32, 16, 16),
        *,
        full_size: bool = True,
    ) -> None:
        super().__init__()
        if len(encoder) < 2 or len(decoder) < len(encoder) + 1 or (full_size and len(decoder) < len(encoder) + 2):
            least = len(encoder) + 1 + full_size
            raise InputError(
                f"a U-Net with encoder {encoder} needs a decoder of {least} convolutions or more, got {decoder}"
            )
        convolution = nn.Conv2d if dimension == 2 else nn.Conv3d
        self.full_size = full_size
        channels = [2, *encoder]
        self.down = nn.ModuleList(convolution(i, o, 3, stride=2, padding=1) for i, o in pairwise(channels))
        ups, current = [], encoder[-1]
        for level in range(len(encoder)):
            ups.append(convolution(current, decoder[level], 3, padding=1))
            current = decoder[level] + (channels[-2 - level] if level < len(encoder) - 1 else 0)
        self.up = nn.ModuleList(ups)
        self.at_half = convolution(current, decoder[len(encoder)], 3, padding=1)
        current = decoder[len(encoder)]
        fine = decoder[len(encoder) + 1 :] if full_size else ()
        fine_inputs = [current + 2, *fine[:-1]]
        self.fine = nn.ModuleList(convolution(i, o, 3, padding=1) for i, o in zip(fine_inputs, fine, strict=False))
        self.field = convolution(fine[-1] if fine else current, dimension, 3, padding=1)
        self.reset_field()

    def reset_field(self) -> None:
        """Initialises the last convolution again, with weights near 0; the features stay."""
        nn.init.normal_(self.field.weight, std=_FIRST_FIELD_DEVIATION)
        set_to_zero(self.field.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Predicts the field in voxels of its own grid."""
        levels = [images]
        for convolution in self.down:
            levels.append(_activated(convolution(levels[-1])))
        values = levels.pop()
        for level, convolution in enumerate(self.up):
            values = _activated(convolution(values))
            if level < len(self.up) - 1:
                values = _joined(values, levels.pop())
        values = _activated(self.at_half(values))
        if self.full_size:
            values = _joined(values, images)
            for convolution in self.fine:
                values = _activated(convolution(values))
        return self.field(values)


def set_to_zero(bias: Tensor | None) -> None:
    """Sets the bias of a layer, which must have one, to 0."""
    assert bias is not None
    nn.init.zeros_(bias)


def _activated(values: Tensor) -> Tensor:
    return functional.leaky_relu(values, NEGATIVE_SLOPE)


def _joined(values: Tensor, skip: Tensor) -> Tensor:
    return torch.cat([functional.interpolate(values, size=skip.shape[2:], mode="nearest"), skip], dim=1)
