"""The U-Net that predicts classes of an image at half its resolution, the features of semantic registration."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError

_NEGATIVE_SLOPE = 0.1


@dataclass(frozen=True)
class FeatureUNetConfig:
    """Configuration of the U-Net of Ha et al., Semantically Guided Large Deformation Estimation, Sensors 2020 (Fig. 2).

    The paper counts eleven convolutions and roughly 200,000 parameters; the authors' published code and weights have
    ten convolutions and 117,000 (`OFFICIAL_2D`). `paper_unet` gives the first: a third convolution where the image is
    smallest, and channels for that number.

    Attributes:
        dimension: 2 or 3.
        classes: channels of the output, the background among them.
        channels: at full, half, quarter and eighth resolution on the way down.
        deepest: convolutions at an eighth, the strided one among them.
        up: channels of the convolutions at a quarter and at half resolution on the way up.
    """

    dimension: int
    classes: int
    channels: tuple[int, int, int, int] = (5, 16, 32, 64)
    deepest: int = 3
    up: tuple[int, int] = (64, 32)

    def __post_init__(self) -> None:
        if self.dimension not in (2, 3) or self.classes < 1 or self.deepest < 2 or min(*self.channels, *self.up) < 1:
            raise InputError(
                "feature U-Net: dimension 2 or 3, classes and channels above 0 and deepest 2 or more are needed, got"
                f" {self}"
            )


OFFICIAL_2D = FeatureUNetConfig(dimension=2, classes=8, deepest=2, up=(32, 32))
"""The configuration in the authors' repository multimodallearning/semantically-guided: eight classes of a face."""


def paper_unet(dimension: int, classes: int) -> FeatureUNetConfig:
    """The configuration of the paper: eleven convolutions and about 200,000 parameters, in 2D and in 3D.

    In 3D there are fewer channels, since a convolution has three times the weights.
    """
    if dimension == 3:
        return FeatureUNetConfig(3, classes, channels=(5, 12, 24, 40), up=(24, 16))
    return FeatureUNetConfig(dimension, classes)


def channels_last(dimension: int) -> torch.memory_format:
    """The memory format in which convolutions of 2 or 3 dimensions are fastest, by a factor of three on CPUs in 3D."""
    return torch.channels_last if dimension == 2 else torch.channels_last_3d


class NormalisedConvolution(nn.Module):
    """Convolution of 3 voxels, batch normalisation, LeakyReLU 0.1."""

    def __init__(self, dimension: int, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = (nn.Conv2d if dimension == 2 else nn.Conv3d)(inputs, outputs, 3, stride=stride, padding=1)
        self.norm = (nn.BatchNorm2d if dimension == 2 else nn.BatchNorm3d)(outputs)
        nn.init.xavier_normal_(self.convolution.weight, gain=2**0.5)
        self.to(memory_format=channels_last(dimension))  # type: ignore[call-overload]  # PyTorch's types lack it

    def forward(self, values: Tensor) -> Tensor:
        """Maps (B, inputs, *spatial) to (B, outputs, *spatial), or to half the size, rounded up, with stride 2."""
        return functional.leaky_relu(self.norm(self.convolution(values)), _NEGATIVE_SLOPE)


class FeatureUNet(nn.Module):
    """The U-Net: an image (B, 1, *spatial) -> class scores (B, classes, *half), whose softmax are semantic features.

    Three convolutions of stride 2 go down, two linear interpolations go up, each to the size of its skip connection (at
    a quarter and at half resolution). There is no layer at full resolution on the way up, so the output has half of the
    input's voxels along each axis, rounded up.

    Voxel k of the output is trained for the input's voxels 2 k and 2 k + 1 together, as `resample_displacement` and
    pooling define half a resolution. The
    authors' own weights were trained for voxel 2 k.
    """

    def __init__(self, config: FeatureUNetConfig) -> None:
        super().__init__()
        self.config = config
        n, (full, half, quarter, eighth) = config.dimension, config.channels
        self.at_full = NormalisedConvolution(n, 1, full)
        self.at_half = nn.ModuleList([NormalisedConvolution(n, full, half, 2), NormalisedConvolution(n, half, half)])
        self.at_quarter = nn.ModuleList(
            [NormalisedConvolution(n, half, quarter, 2), NormalisedConvolution(n, quarter, quarter)]
        )
        deep = [quarter] + [eighth] * config.deepest
        self.at_eighth = nn.ModuleList(
            NormalisedConvolution(n, i, o, 2 if place == 0 else 1) for place, (i, o) in enumerate(pairwise(deep))
        )
        self.up_quarter = NormalisedConvolution(n, eighth + quarter, config.up[0])
        self.up_half = NormalisedConvolution(n, config.up[0] + half, config.up[1])
        self.scores = (nn.Conv2d if n == 2 else nn.Conv3d)(config.up[1], config.classes, 3, padding=1)
        nn.init.xavier_normal_(self.scores.weight, gain=2**0.5)

    def forward(self, image: Tensor) -> Tensor:
        """Predicts class scores before the softmax.

        Raises:
            InputError: the image is not (B, 1, *spatial) of the network's dimension.
        """
        if image.ndim != self.config.dimension + 2 or image.shape[1] != 1:
            raise InputError(
                f"image: the feature U-Net takes (B, 1, *spatial) in {self.config.dimension}D, got {tuple(image.shape)}"
            )
        half = _through(
            self.at_half, self.at_full(image.contiguous(memory_format=channels_last(self.config.dimension)))
        )
        quarter = _through(self.at_quarter, half)
        values = _through(self.at_eighth, quarter)
        values = self.up_quarter(torch.cat([_brought_to(values, quarter), quarter], dim=1))
        return self.scores(self.up_half(torch.cat([_brought_to(values, half), half], dim=1)))


def _through(layers: nn.ModuleList, values: Tensor) -> Tensor:
    for layer in layers:
        values = layer(values)
    return values


def _brought_to(values: Tensor, skip: Tensor) -> Tensor:
    mode = "bilinear" if values.ndim == 4 else "trilinear"
    return functional.interpolate(values, size=skip.shape[2:], mode=mode, align_corners=False)
