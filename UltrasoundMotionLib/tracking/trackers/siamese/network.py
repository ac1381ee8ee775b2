"""Embedding and correlation of the Siamese trackers SiamFC and SiamRPN.

Bertinetto et al. 2016, Table 1: AlexNet's five convolutions without padding, stride 8 in all, batch normalisation and
ReLU after all but the last.
"""

from __future__ import annotations

from dataclasses import dataclass

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
        channels: of the five convolutions. The paper's are 96, 256, 384, 384, 256 (3 M weights); these have 0.5 M and
            take a CPU core 6 ms for a search window; there is one grey channel instead of three colours.
    """

    channels: tuple[int, int, int, int, int] = (32, 96, 128, 128, 128)


class SiameseEmbedding(nn.Sequential):
    """Embedding of windows: (N, 1, 127, 127) -> (N, C, 6, 6); (N, 1, 255, 255) -> (N, C, 22, 22)."""

    def __init__(self, config: EmbeddingConfig) -> None:
        first, second, third, fourth, fifth = config.channels
        super().__init__(
            *_block(1, first, 11, 2),
            nn.MaxPool2d(3, 2),
            *_block(first, second, 5),
            nn.MaxPool2d(3, 2),
            *_block(second, third, 3),
            *_block(third, fourth, 3),
            nn.Conv2d(fourth, fifth, 3),
        )


def _block(inputs: int, outputs: int, width: int, stride: int = 1) -> tuple[nn.Module, ...]:
    return nn.Conv2d(inputs, outputs, width, stride, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)


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
