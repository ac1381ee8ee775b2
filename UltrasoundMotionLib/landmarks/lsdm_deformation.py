"""LSDM's deformation network: one encoder, and the complete or the partial decoder (Fig. 5 b and c)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DECODERS = ("complete", "partial")
GROUPS = 8


def normalised(inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, normalisation of one window by itself, leaky ReLU; cell i of the output lies over cell stride * i of the input."""
    convolution = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(GROUPS, outputs), nn.LeakyReLU(0.1))


class DeformationNetwork(nn.Module):
    """(B, 3, H, W) windows of x_0, x_{t-dt} and x_t -> long and short velocity (B, 2, H/2, W/2), and features at strides 2, 4 and 8.

    With the partial decoder the features are those of both, side by side, so that the pyramid sees the two motions.
    """

    def __init__(self, channels: tuple[int, int, int, int], decoder: str) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.encoder = nn.ModuleList(
            (
                normalised(3, first, size=5, stride=2),
                nn.Sequential(normalised(first, second, stride=2), normalised(second, second)),
                nn.Sequential(normalised(second, third, stride=2), normalised(third, third)),
                nn.Sequential(normalised(third, fourth, stride=2), normalised(fourth, fourth)),
            )
        )
        if decoder == "complete":
            self.decoders = nn.ModuleList((Decoder(channels, 4),))
        else:
            self.decoders = nn.ModuleList((Decoder(channels, 2), Decoder(channels, 2)))

    def forward(self, windows: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
        """((long, short), features)."""
        levels = []
        for stage in self.encoder:
            windows = stage(windows)
            levels.append(windows)
        decoded = [decoder(levels) for decoder in self.decoders]
        velocities = torch.cat([velocity for velocity, _ in decoded], dim=1).float()
        features = tuple(torch.cat(maps, dim=1) for maps in zip(*(maps for _, maps in decoded), strict=True))
        return (velocities[:, :2], velocities[:, 2:]), features


class Decoder(nn.Module):
    """From stride 16 up to stride 2, with the encoder's maps beside; the last convolution gives `outputs` velocity components."""

    def __init__(self, channels: tuple[int, int, int, int], outputs: int) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.stages = nn.ModuleList((normalised(fourth + third, third), normalised(third + second, second), normalised(second + first, first)))
        self.velocity = nn.Conv2d(first, outputs, 3, padding=1)
        nn.init.normal_(self.velocity.weight, std=1e-3)  # begins at rest, as registration networks do
        nn.init.zeros_(self.velocity.bias)

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Velocity (B, outputs, H/2, W/2) and the features before it at strides 2, 4 and 8."""
        values, maps = levels[-1], []
        for stage, beside in zip(self.stages, reversed(levels[:-1]), strict=True):
            values = stage(torch.cat((doubled(values, beside), beside), dim=1))
            maps.append(values)
        return self.velocity(values), (maps[2], maps[1], maps[0])


def doubled(values: Tensor, like: Tensor) -> Tensor:
    """The map interpolated to that of half the stride: cell i goes to cell 2 i."""
    height, width = like.shape[-2:]
    fine = F.interpolate(values, size=(2 * values.shape[-2] - 1, 2 * values.shape[-1] - 1), mode="bilinear", align_corners=True)
    return F.pad(fine, (0, width - fine.shape[-1], 0, height - fine.shape[-2]), mode="replicate")
