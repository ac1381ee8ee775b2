"""The anatomy network: class probabilities of an image at full resolution, which guide the registration of two.

A U-Net (Ronneberger et al., 2015) on voxels folded into channels and unfolded again at the end (Shi et al., Real-time
single image and video super-resolution using an efficient sub-pixel convolutional neural network, CVPR 2016): the
widest layers have fewer positions to work on, and no detail of the image is lost. Normalisation by groups (Wu and He,
2018), so that one volume is enough for a batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.learned.model_domain import normalise
from UltrasoundMotionLib.registration.learned.slice_convolution import convolution

_GROUPS = 8
_NEGATIVE_SLOPE = 0.1


@dataclass(frozen=True)
class AnatomyConfig:
    """Configuration of the network.

    Attributes:
        classes: number of classes, the background among them.
        channels: of every level, fine to coarse.
        fold: voxels along (z, y, x) that become channels.
        stride: along (z, y, x), from a level to the next.
        phases: the other image of the pair, of the same scan, is a second channel: motion shows where the base of the
            heart is.
        through: for each level, whether the second convolution of its blocks reaches into the neighbouring slices; the
            first does where `stride` is 2 along z.
    """

    classes: int = 3
    channels: tuple[int, ...] = (32, 64, 96, 96)
    fold: tuple[int, int, int] = (2, 2, 2)
    stride: tuple[int, int, int] = (2, 2, 2)
    through: tuple[bool, ...] = (True, True, True, True)
    phases: bool = False

    def __post_init__(self) -> None:
        if (
            self.classes < 2
            or len(self.channels) < 2
            or len(self.channels) != len(self.through)
            or any(one % _GROUPS for one in self.channels)
        ):
            raise InputError(
                f"anatomy: expected 2 classes or more and as many `through` as channels, multiples of {_GROUPS}, got"
                f" {self}"
            )
        if any(one not in {1, 2} for one in (*self.fold, *self.stride)) or len(self.fold) != 3 or len(self.stride) != 3:
            raise InputError(f"anatomy: fold and stride are 1 or 2 along z, y, x, got {self.fold} and {self.stride}")


HIPPOCAMPUS_ANATOMY = AnatomyConfig()
CARDIAC_ANATOMY = AnatomyConfig(
    classes=4, channels=(48, 96, 128, 128), fold=(1, 2, 2), stride=(1, 2, 2), through=(False, False, True, True)
)
"""The number of slices is kept; convolutions of the coarse levels span three of them."""
CARDIAC_PHASES_ANATOMY = replace(CARDIAC_ANATOMY, phases=True)


class AnatomyNetwork(nn.Module):
    """The network: images (B, 1, D, H, W) of any intensities -> logits (B, classes, D, H, W)."""

    def __init__(self, config: AnatomyConfig) -> None:
        super().__init__()
        self.config = config
        channels, folded = config.channels, config.fold[0] * config.fold[1] * config.fold[2]
        self.down = nn.ModuleList()
        before = folded * (2 if config.phases else 1)
        for level, after in enumerate(channels):
            self.down.append(self._block(before, after, level))
            before = after
        self.up = nn.ModuleList()
        for level in reversed(range(len(channels) - 1)):
            self.up.append(self._block(channels[level + 1] + channels[level], channels[level], level, stride=False))
        self.out = nn.Conv3d(channels[0], config.classes * folded, 1)

    def forward(self, image: Tensor, other: Tensor | None = None) -> Tensor:
        """Predicts the logits of `image`; `other` is the other phase, for networks with `phases`.

        Images are padded to a size that the levels divide, and the logits are cropped again.
        """
        return self.logits(normalise(image), None if other is None else normalise(other))

    def logits(self, normalised: Tensor, other: Tensor | None = None) -> Tensor:
        """Predicts the logits of images that are normalised already; see `forward`."""
        if self.config.phases:
            if other is None:
                raise InputError("anatomy: this network needs both phases")
            normalised = torch.cat([normalised, other], dim=1)
        levels = len(self.config.channels) - 1
        multiples = [fold * stride**levels for fold, stride in zip(self.config.fold, self.config.stride, strict=True)]
        spatial = normalised.shape[2:]
        spare = [-size % multiple for size, multiple in zip(spatial, multiples, strict=True)]
        padded = functional.pad(
            normalised, [0, spare[2], 0, spare[1], 0, spare[0]], mode="constant", value=float(normalised.min())
        )
        values = fold(padded, self.config.fold)
        skips = []
        for block in self.down:
            values = block(values)
            skips.append(values)
        for block, skip in zip(self.up, skips[-2::-1], strict=True):
            values = functional.interpolate(values, size=skip.shape[2:], mode="trilinear", align_corners=False)
            values = block(torch.cat([values, skip], dim=1))
        values = unfold(self.out(values), self.config.fold)
        return values[:, :, : spatial[0], : spatial[1], : spatial[2]]

    def _block(self, before: int, after: int, level: int, stride: bool = True) -> nn.Sequential:
        through = self.config.stride[0] == 2
        steps = self.config.stride if stride and level > 0 else (1, 1, 1)
        first = _convolution(before, after, through, steps)
        return nn.Sequential(*first, *_convolution(after, after, self.config.through[level], (1, 1, 1)))


def fold(image: Tensor, factors: tuple[int, int, int]) -> Tensor:
    """Folds voxels into channels: (B, C, D, H, W) -> (B, C * factors, D / factor, ...)."""
    batch, channels, *sizes = image.shape
    z, y, x = factors
    small = [size // factor for size, factor in zip(sizes, factors, strict=True)]
    parts = image.reshape(batch, channels, small[0], z, small[1], y, small[2], x)
    return parts.permute(0, 1, 3, 5, 7, 2, 4, 6).reshape(batch, channels * z * y * x, *small)


def unfold(values: Tensor, factors: tuple[int, int, int]) -> Tensor:
    """The inverse of `fold`."""
    batch, channels, *small = values.shape
    z, y, x = factors
    parts = values.reshape(batch, channels // (z * y * x), z, y, x, *small)
    sizes = [size * factor for size, factor in zip(small, factors, strict=True)]
    return parts.permute(0, 1, 5, 2, 6, 3, 7, 4).reshape(batch, channels // (z * y * x), *sizes)


def _convolution(before: int, after: int, through: bool, stride: tuple[int, int, int]) -> tuple[nn.Module, ...]:
    return (
        convolution(before, after, through=through, stride=stride),
        nn.GroupNorm(_GROUPS, after),
        nn.LeakyReLU(_NEGATIVE_SLOPE, inplace=True),
    )
