"""SpeckNet: finds every point in every frame by its features alone, on three scales at once.

Azad et al., "Taming Modern Point Tracking for Speckle Tracking Echocardiography via Impartial Motion", Sec. 4.2 and
Fig. 4. A frame is unshuffled by 2, passes a pruned ResNet of four groups of two residual blocks, and the last three
groups give maps of stride 8, 8 and 16. The cosine between a query point's feature and each cell of a map is a cost
volume; the three, their contrast raised by a power of 15, are multiplied on the finest grid; a soft argmax around the
best cell is the position. The cost volumes are in `specknet_cost_volume`, the way from a frame of any size to the
network's in `specknet_input`.

Where the paper is silent: see Docs/concepts/specknet.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch.nn.functional as F
from torch import Tensor, nn

if TYPE_CHECKING:
    from UltrasoundMotionLib.tracking.trackers.specknet.temporal_head import TemporalHead

STRIDES = (8, 8, 16)


@dataclass(frozen=True)
class TemporalHeadConfig:
    """Sizes of the head.

    Attributes:
        radius: the window reaches so many cells to each side of the running estimate, on every volume.
        window: number of frames that a point attends to in each layer, the present one among them.
        width: features of a token, which is one point in one frame.
        layers: number of layers, each with attention over time, attention over points, and a perceptron.
        heads: number of heads of an attention.
    """

    radius: int = 3
    window: int = 8
    width: int = 96
    layers: int = 2
    heads: int = 4


@dataclass(frozen=True)
class SpeckNetConfig:
    """Sizes of the network; the paper's values, where it gives them.

    Attributes:
        input_size: longer side of the network's input, in pixels.
        unshuffle: factor of the pixel unshuffling in front of the stem.
        channels: channels of the four groups; the features of the last three are matched. The paper does not give them;
            these cost 3 GMAC for a frame of 512 x 512 and make 4 MB of weights.
        contrast_power: power that every cost volume is raised to.
        peak_radius: radius of the soft argmax around the hard one, in cells of the finest volume.
        head: temporal head, which the paper has not; None: none.
    """

    input_size: int = 512
    unshuffle: int = 2
    channels: tuple[int, int, int, int] = (32, 64, 96, 128)
    contrast_power: float = 15.0
    peak_radius: float = 5.0
    head: TemporalHeadConfig | None = None


class SpeckNet(nn.Module):
    """Feature network: (B, 1, H, W) frames of about 0 to 1 -> three feature maps. H and W are multiples of 16; it is
    made for 512.

    Normalisation is by instance (one frame, one channel), so that a frame's features do not depend on the frames beside
    it: streamed or in batches, the result is the same. Convolutions that halve the resolution are 4 wide, so that cell
    i of stride s lies over the middle of its s pixels, at s i + (s - 1) / 2, on every level.
    """

    def __init__(self, config: SpeckNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SpeckNetConfig()
        first, second, third, fourth = config.channels
        self.stem = nn.Conv2d(config.unshuffle**2, first, 6, stride=2, padding=2)
        self.group1 = _group(first, first, halve=False)
        self.group2 = _group(first, second, halve=True)
        self.group3 = _group(second, third, halve=False)
        self.group4 = _group(third, fourth, halve=True)
        self.head: TemporalHead | None = None  # see `temporal_head.build_specknet`
        self.output_norms = nn.ModuleList(_instance_norm(channels) for channels in config.channels[1:])

    def features(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Computes maps (B, C, H/8, W/8), (B, C', H/8, W/8), (B, C'', H/16, W/16) of unit length along the channels."""
        values = self.group1(self.stem(F.pixel_unshuffle(frames - 0.5, self.config.unshuffle)))
        maps = []
        for group, norm in zip((self.group2, self.group3, self.group4), self.output_norms, strict=True):
            values = group(values)
            maps.append(F.normalize(norm(values).float(), dim=1, eps=1e-4))
        return maps[0], maps[1], maps[2]

    forward = features


class _ResidualBlock(nn.Module):
    """Residual block with normalisation and ReLU before each of two convolutions (He et al., ECCV 2016), so that its
    output is signed.
    """

    def __init__(self, inputs: int, outputs: int, *, halve: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = _instance_norm(inputs), _instance_norm(outputs)
        self.convolution1 = (
            nn.Conv2d(inputs, outputs, 4, stride=2, padding=1, bias=False) if halve else _convolution3(inputs, outputs)
        )
        self.convolution2 = _convolution3(outputs, outputs)
        shortcut: list[nn.Module] = [nn.AvgPool2d(2)] if halve else []
        if inputs != outputs:
            shortcut.append(nn.Conv2d(inputs, outputs, 1, bias=False))
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, values: Tensor) -> Tensor:
        inner = self.convolution1(F.relu(self.norm1(values), inplace=True))
        return self.convolution2(F.relu(self.norm2(inner), inplace=True)).add_(self.shortcut(values))


def _group(inputs: int, outputs: int, *, halve: bool) -> nn.Sequential:
    return nn.Sequential(_ResidualBlock(inputs, outputs, halve=halve), _ResidualBlock(outputs, outputs, halve=False))


def _convolution3(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)


def _instance_norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(channels, channels)
