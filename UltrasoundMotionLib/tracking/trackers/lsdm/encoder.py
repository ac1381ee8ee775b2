"""LSDM's shared encoder and its two kinds of decoder (Liu et al., Sec. III-E and Fig. 5 b and c)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DECODERS = ("complete", "partial")
FRAMES = 3
"""Images side by side at the encoder's input: x_0, x_{t-dt} and x_t, or one patch three times."""
_GROUPS = 8


def normalised(inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Builds a convolution with group normalisation and leaky ReLU; cell i of the output lies over cell stride * i of
    the input.
    """
    convolution = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(_GROUPS, outputs), nn.LeakyReLU(0.1, inplace=True))


class SharedEncoder(nn.Module):
    """The one filter Phi_U of Eq. 2: three images side by side -> maps at strides 2, 4, 8 and 16.

    Tracking and deformation share it. Whole frames pass all stages; exemplar and search patches, each repeated three
    times, pass the first two.
    """

    def __init__(self, channels: tuple[int, int, int, int]) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.stages = nn.ModuleList(
            (
                normalised(FRAMES, first, size=5, stride=2),
                nn.Sequential(normalised(first, second, stride=2), normalised(second, second)),
                nn.Sequential(normalised(second, third, stride=2), normalised(third, third)),
                nn.Sequential(normalised(third, fourth, stride=2), normalised(fourth, fourth)),
            )
        )

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """Computes maps at strides 2, 4, 8 and 16 of frames (B, 3, h, w)."""
        maps = []
        for stage in self.stages:
            frames = stage(frames)
            maps.append(frames)
        return tuple(maps)

    def patch_stride_2(self, patches: Tensor) -> Tensor:
        """Computes the maps at stride 2 of patches (N, 1, h, w), which stand in all three channels.

        A convolution of three equal channels is one with the kernel's sum over them.
        """
        stage = self.stages[0]
        assert isinstance(stage, nn.Sequential)
        convolution, rest = stage[0], stage[1:]
        assert isinstance(convolution, nn.Conv2d)
        weight = convolution.weight.sum(dim=1, keepdim=True)
        return rest(F.conv2d(patches, weight, stride=convolution.stride, padding=convolution.padding))

    def patch_stride_4(self, stride_2: Tensor) -> Tensor:
        """Computes the maps at stride 4 of patches from those at stride 2."""
        return self.stages[1](stride_2)


class Decoder(nn.Module):
    """Decodes maps from stride 16 up to stride 2, with the encoder's maps beside."""

    def __init__(self, channels: tuple[int, int, int, int], outputs: int) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.stages = nn.ModuleList(
            (
                normalised(fourth + third, third),
                normalised(third + second, second),
                normalised(second + first, outputs),
            )
        )

    def forward(self, levels: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """Returns maps at strides 2 (with `outputs` channels), 4 and 8."""
        values, maps = levels[-1], []
        for stage, beside in zip(self.stages, reversed(levels[:-1]), strict=True):
            values = stage(torch.cat((doubled(values, beside), beside), dim=1))
            maps.append(values)
        return maps[2], maps[1], maps[0]


class MotionDecoder(nn.Module):
    """Decodes the long and the short motion's maps phi_l and phi_s (B, c, h/2, w/2), and the features of the pyramid.

    "complete": one decoder, long and short are separated by its last convolution; "partial": a decoder for each, and
    the pyramid's features are both decoders', side by side.
    """

    def __init__(self, channels: tuple[int, int, int, int], motion_channels: int, decoder: str) -> None:
        super().__init__()
        count = 1 if decoder == "complete" else 2
        self.decoders = nn.ModuleList(Decoder(channels, motion_channels) for _ in range(count))
        self.last = nn.ModuleList(nn.Conv2d(motion_channels, motion_channels, 3, padding=1) for _ in range(2))

    def forward(self, levels: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Returns phi_l, phi_s and the decoders' maps at strides 2, 4 and 8."""
        decoded = [decoder(levels) for decoder in self.decoders]
        long, short = (last(maps[0]) for last, maps in zip(self.last, (decoded[0], decoded[-1]), strict=True))
        return long, short, tuple(torch.cat(maps, dim=1) for maps in zip(*decoded, strict=True))


def doubled(values: Tensor, like: Tensor) -> Tensor:
    """Interpolates a map to half the stride: cell i goes to cell 2 i."""
    height, width = like.shape[-2:]
    padded = F.pad(values, (0, 1, 0, 1), mode="replicate")
    size = (2 * values.shape[-2] + 1, 2 * values.shape[-1] + 1)
    return F.interpolate(padded, size=size, mode="bilinear", align_corners=True)[..., :height, :width]
