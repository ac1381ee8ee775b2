"""LSDM's deformation network: one encoder, and the complete or the partial decoder (Fig. 5 b and c)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DECODERS = ("complete", "partial")
GROUPS = 8
NEARBY = 3
"""Cells, at strides 4 and 8, to which windows are compared: 12 and 24 pixels."""
LEVELS_COMPARED = (1, 2)
STRIDE, MATCHED = 4, 4
"""Pixels for one cell of the features that are matched, and the cells to which they are."""
SHARPNESS = 20.0
"""Logits for a mean cosine of 1."""


def normalised(inputs: int, outputs: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Builds a convolution with normalisation of each window by itself and leaky ReLU; cell i of the output lies over
    cell stride * i of the input.
    """
    convolution = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
    return nn.Sequential(convolution, nn.GroupNorm(GROUPS, outputs), nn.LeakyReLU(0.1))


class DeformationNetwork(nn.Module):
    """Windows (B, 1, H, W) of x_0, x_{t-dt} and x_t -> long and short velocity (B, 2, H/2, W/2), and features at
    strides 2, 4 and 8.

    The encoder is the same for the three windows ("the concatenated batch", Sec. V-A, read as one behind the other);
    their maps are put side by side afterwards. Beside them lie, at strides 4 and 8, the correlations of x_0's map and
    of x_{t-dt}'s with x_t's at nearby places: ours, since a motion that is written there needs not be learnt from grey
    levels. With the partial decoder the features are those of both, side by side, so that the pyramid sees the two
    motions.
    """

    def __init__(self, channels: tuple[int, int, int, int], decoder: str) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.encoder = nn.ModuleList(
            (
                normalised(1, first, size=5, stride=2),
                nn.Sequential(normalised(first, second, stride=2), normalised(second, second)),
                nn.Sequential(normalised(second, third, stride=2), normalised(third, third)),
                nn.Sequential(normalised(third, fourth, stride=2), normalised(fourth, fourth)),
            )
        )
        nearby = (0, 2 * (2 * NEARBY + 1) ** 2, 2 * (2 * NEARBY + 1) ** 2, 0)
        self.beside = nn.ModuleList(
            normalised(3 * width + more, width, size=1) for width, more in zip(channels, nearby, strict=True)
        )
        if decoder == "complete":
            self.decoders = nn.ModuleList((Decoder(channels, 4),))
        else:
            self.decoders = nn.ModuleList((Decoder(channels, 2), Decoder(channels, 2)))

    def encode(self, windows: Tensor) -> tuple[Tensor, ...]:
        """Returns maps at strides 2, 4, 8 and 16."""
        maps = []
        for stage in self.encoder:
            windows = stage(windows)
            maps.append(windows)
        return tuple(maps)

    def decode(
        self, first: tuple[Tensor, ...], before: tuple[Tensor, ...], now: tuple[Tensor, ...]
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]:
        """Decodes ((long, short), features) from the encoded windows."""
        levels = []
        for number, (beside, *three) in enumerate(zip(self.beside, first, before, now, strict=True)):
            compared = []
            if number in LEVELS_COMPARED:
                units = [unit_length(one) for one in three]
                compared = [local_correlation(unit, units[2], NEARBY) for unit in units[:2]]
            levels.append(beside(torch.cat([*three, *compared], dim=1)))
        decoded = [decoder(levels) for decoder in self.decoders]
        velocities = torch.cat([velocity for velocity, _ in decoded], dim=1).float()
        stride_2, stride_4, stride_8 = (
            torch.cat(maps, dim=1) for maps in zip(*(maps for _, maps in decoded), strict=True)
        )
        return (velocities[:, :2], velocities[:, 2:]), (stride_2, stride_4, stride_8)


def unit_length(maps: Tensor) -> Tensor:
    """Divides maps (B, C, h, w) by their length along the channels; float32.

    The same as torch's `normalize`, ten times quicker.
    """
    maps = maps.float()
    return maps * (maps.square().sum(dim=1, keepdim=True) + 1e-8).rsqrt()


def local_correlation(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """Computes (B, (2 radius + 1)^2, h, w) inner products of `first` (B, C, h, w) with `second` at places up to
    `radius` cells away, 0 beyond its border.
    """
    batch, channels, height, width = first.shape
    side = 2 * radius + 1
    padded = F.pad(second, (radius, radius, radius, radius))
    # Each row of the one with the `side` rows of the other that it can meet, then the `side` places in each of these.
    bands = padded.unfold(2, side, 1).permute(0, 2, 1, 4, 3).reshape(batch * height, channels, -1)
    rows = first.permute(0, 2, 3, 1).reshape(batch * height, width, channels)
    columns = torch.arange(width, device=first.device)[:, None] + torch.arange(side, device=first.device)
    place = torch.arange(side, device=first.device)[None, :, None] * padded.shape[3] + columns[:, None]
    near = (rows @ bands).gather(2, place.reshape(1, width, -1).expand(batch * height, -1, -1))
    return near.reshape(batch, height, width, side**2).permute(0, 3, 1, 2)


def matched_motion(first: Tensor, second: Tensor) -> Tensor:
    """Computes a velocity (B, 2, 2 h, 2 w) in pixels from features (B, C, h, w) of unit length at stride 4: the mean
    way to similar places.

    Ours: the decoders start from it, and what they add is small. It is block matching with the features that tracking
    teaches: correlations are averaged over blocks of 20 pixels, the softmax over all ways up to 16 pixels weighs them,
    and the field is smoothed over 12 pixels, so that its flow does not fold. Without it, decoders begin to see motion
    after many thousand samples only.
    """
    near = F.avg_pool2d(local_correlation(first, second, MATCHED), 5, 1, 2, count_include_pad=False)
    ways = STRIDE * (torch.arange(2 * MATCHED + 1, device=first.device, dtype=torch.float32) - MATCHED)
    share = torch.softmax(SHARPNESS * near, dim=1).unflatten(1, (len(ways), len(ways)))
    way = torch.stack((torch.einsum("byxhw,x->bhw", share, ways), torch.einsum("byxhw,y->bhw", share, ways)), dim=1)
    way = F.avg_pool2d(way, 3, 1, 1, count_include_pad=False)
    return doubled(way, like=way.new_empty((1, 1, 2 * way.shape[2], 2 * way.shape[3])))


class Decoder(nn.Module):
    """Decodes maps from stride 16 up to stride 2, with the encoder's maps beside; the last convolution gives `outputs`
    velocity components.
    """

    def __init__(self, channels: tuple[int, int, int, int], outputs: int) -> None:
        super().__init__()
        first, second, third, fourth = channels
        self.stages = nn.ModuleList(
            (normalised(fourth + third, third), normalised(third + second, second), normalised(second + first, first))
        )
        self.velocity = nn.Conv2d(first, outputs, 3, padding=1)
        nn.init.normal_(self.velocity.weight, std=1e-3)  # begins at rest, as registration networks do
        nn.init.zeros_(self.velocity.get_parameter("bias"))

    def forward(self, levels: list[Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Returns the velocity (B, outputs, H/2, W/2) and the features before it at strides 2, 4 and 8."""
        values, maps = levels[-1], []
        for stage, beside in zip(self.stages, reversed(levels[:-1]), strict=True):
            values = stage(torch.cat((doubled(values, beside), beside), dim=1))
            maps.append(values)
        return self.velocity(values), (maps[2], maps[1], maps[0])


def doubled(values: Tensor, like: Tensor) -> Tensor:
    """Interpolates a map to half the stride: cell i goes to cell 2 i."""
    height, width = like.shape[-2:]
    padded = F.pad(values, (0, 1, 0, 1), mode="replicate")
    size = (2 * values.shape[-2] + 1, 2 * values.shape[-1] + 1)
    return F.interpolate(padded, size=size, mode="bilinear", align_corners=True)[..., :height, :width]
