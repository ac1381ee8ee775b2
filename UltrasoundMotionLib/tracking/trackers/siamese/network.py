"""Embedding and correlation of the Siamese trackers SiamFC and SiamRPN.

Bertinetto et al. 2016, Table 1: AlexNet's five convolutions without padding, stride 8 in all, batch normalisation and
ReLU after all but the last. SiamRPN (Li et al. 2018, Sec. 3.1) takes the same without AlexNet's two groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

STRIDE = 8
SCORE_SIZE = 17
"""Cells along a side of the answer to a search window of 255 samples: places 8 samples apart, the middle one is its
middle.
"""


@dataclass(frozen=True)
class EmbeddingConfig:
    """Width of the embedding.

    Attributes:
        channels: of the five convolutions: a quarter of the papers' 96, 256, 384, 384, 256, of one grey channel instead
            of three colours.
        groups: of the second, fourth and fifth convolution: AlexNet and SiamFC have 2, SiamRPN 1.
    """

    channels: tuple[int, int, int, int, int] = (24, 64, 96, 96, 64)
    groups: int = 1


class SiameseEmbedding(nn.Sequential):
    """Embedding of windows: (N, 1, 127, 127) -> (N, C, 6, 6); (N, 1, 255, 255) -> (N, C, 22, 22)."""

    def __init__(self, config: EmbeddingConfig) -> None:
        first, second, third, fourth, fifth = config.channels
        super().__init__(
            *_convolution(1, first, 11, stride=2),
            nn.MaxPool2d(3, 2),  # before ReLU: the same values as after it, of fewer places
            nn.ReLU(inplace=True),
            *_convolution(first, second, 5, groups=config.groups),
            nn.MaxPool2d(3, 2),
            nn.ReLU(inplace=True),
            *_convolution(second, third, 3),
            nn.ReLU(inplace=True),
            *_convolution(third, fourth, 3, groups=config.groups),
            nn.ReLU(inplace=True),
            nn.Conv2d(fourth, fifth, 3, groups=config.groups),
        )
        for layer in self:
            if isinstance(layer, nn.Conv2d):  # faster on CPUs; the same values
                layer.weight.data = layer.weight.data.contiguous(memory_format=torch.channels_last)


def _convolution(
    inputs: int, outputs: int, width: int, *, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    return nn.Conv2d(inputs, outputs, width, stride, groups=groups, bias=False), nn.BatchNorm2d(outputs)


def correlate(kernels: Tensor, features: Tensor) -> Tensor:
    """Correlates each sample's features (N, C, H, W) with its own kernels (N, K, C, h, w): (N, K, H - h + 1, W - w +
    1).

    Divided by the square root of the kernel's size, so that answers stay near 1 whatever the width of the network.
    """
    count, outputs, channels, height, width = kernels.shape
    flat = F.conv2d(
        features.reshape(1, count * channels, *features.shape[2:]),
        kernels.reshape(count * outputs, channels, height, width),
        groups=count,
    )
    return flat.reshape(count, outputs, *flat.shape[2:]) / (channels * height * width) ** 0.5
