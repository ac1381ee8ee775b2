"""Feature network of TAPIR and LocoTrack: a ResNet of 18 layers that keeps more resolution and normalises by instance.

Doersch et al., "TAPIR: Tracking Any Point with per-frame Initialization and temporal Refinement", ICCV 2023,
appendix. A stem halves the resolution; four groups of two residual blocks follow, of which the second and the third
halve it again. Convolutions that halve pad as TensorFlow's "SAME" does: nothing more at the top and left than the
kernel needs, the odd sample at the bottom and right.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNIT_EPSILON = 1e-6
"""Least length of a feature vector that is brought to unit length."""

_STRIDES = (1, 2, 2, 1)
_BLOCKS = 2


class ResidualBackbone(nn.Module):
    """Frames (B, 1 or 3, H, W), grey or colour, -> one map for each of the four groups, of strides 2, 4, 8 and 8.

    Args:
        channels: of the four groups; the stem has those of the first.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        inputs = (channels[0], *channels[:-1])
        self.stem = nn.Conv2d(3, channels[0], 7, stride=2, bias=False)
        self.groups = nn.ModuleList(
            nn.Sequential(
                _ResidualBlock(before, after, stride), *(_ResidualBlock(after, after) for _ in range(_BLOCKS - 1))
            )
            for before, after, stride in zip(inputs, channels, _STRIDES, strict=True)
        )

    def forward(self, frames: Tensor) -> list[Tensor]:
        """Computes the maps (B, C, h, w) of the four groups; H and W are multiples of 8."""
        values = frames.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        values = self.stem(F.pad(values, (2, 3, 2, 3)))
        maps = []
        for group in self.groups:
            values = group(values)
            maps.append(values)
        return maps


class _ResidualBlock(nn.Module):
    """Normalisation and ReLU before each of two convolutions; a block that changes channels or resolution projects its
    shortcut, from the normalised values.
    """

    def __init__(self, inputs: int, outputs: int, stride: int | None = None) -> None:
        super().__init__()
        self._halves = stride == 2
        self.norm1, self.norm2 = _instance_norm(inputs), _instance_norm(outputs)
        self.convolution1 = nn.Conv2d(
            inputs, outputs, 3, stride=stride or 1, padding=0 if self._halves else 1, bias=False
        )
        self.convolution2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = None if stride is None else nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False)

    def forward(self, values: Tensor) -> Tensor:
        """Maps (B, C, h, w) to (B, C', h / stride, w / stride)."""
        inner = F.relu(self.norm1(values), inplace=True)
        kept = values if self.shortcut is None else self.shortcut(inner)
        inner = self.convolution1(F.pad(inner, (0, 1, 0, 1)) if self._halves else inner)
        return self.convolution2(F.relu(self.norm2(inner), inplace=True)) + kept


def _instance_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels, channels)


def empty_maps(frames: Tensor, size: tuple[int, int], stride: int, channels: int) -> Tensor:
    """Allocates maps (T, C, h, w) for frames (T, ...) of a size (height, width), channels last in memory."""
    shape = (len(frames), channels, size[0] // stride, size[1] // stride)
    return torch.empty(shape, dtype=frames.dtype, device=frames.device, memory_format=torch.channels_last)
