"""The anatomy network: class probabilities of an image at full resolution, which guide the registration of two.

A U-Net (Ronneberger et al., 2015). That of hearts has a residual encoder (Isensee et al., nnU-Net revisited, MICCAI
2024) at full resolution and is trained with deep supervision (Lee et al., Deeply-supervised nets, AISTATS 2015). That
of hippocampi has its voxels folded into channels and unfolded again at the end (Shi et al., Real-time single image and
video super-resolution using an efficient sub-pixel convolutional neural network, CVPR 2016). Normalisation by groups
(Wu and He, 2018), so that one volume is enough for a batch.
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
        blocks: residual blocks of every level of the encoder; empty: two plain convolutions a level.
        supervised: levels below the finest whose own logits a training compares with the labels too.
    """

    classes: int = 3
    channels: tuple[int, ...] = (32, 64, 96, 96)
    fold: tuple[int, int, int] = (2, 2, 2)
    stride: tuple[int, int, int] = (2, 2, 2)
    through: tuple[bool, ...] = (True, True, True, True)
    phases: bool = False
    blocks: tuple[int, ...] = ()
    supervised: int = 0

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
        if len(self.blocks) not in {0, len(self.channels)} or not 0 <= self.supervised < len(self.channels) - 1:
            raise InputError(
                "anatomy: expected as many `blocks` as channels and fewer `supervised` levels than the decoder has, got"
                f" {self}"
            )
        if any(one not in {1, 2} for one in (*self.fold, *self.stride)) or len(self.fold) != 3 or len(self.stride) != 3:
            raise InputError(f"anatomy: fold and stride are 1 or 2 along z, y, x, got {self.fold} and {self.stride}")


HIPPOCAMPUS_ANATOMY = AnatomyConfig()
HIPPOCAMPUS_RESIDUAL_ANATOMY = AnatomyConfig(
    channels=(16, 32, 64, 96), fold=(1, 1, 1), blocks=(1, 2, 2, 2), supervised=2
)
CARDIAC_ANATOMY = AnatomyConfig(
    classes=4,
    channels=(16, 32, 64, 96, 96),
    fold=(1, 1, 1),
    stride=(1, 2, 2),
    through=(False, False, False, True, True),
    blocks=(1, 2, 2, 2, 2),
    supervised=2,
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
            self.down.append(self._encoder(before, after, level))
            before = after
        self.reduce, self.up = nn.ModuleList(), nn.ModuleList()
        for level in reversed(range(len(channels) - 1)):
            before = channels[level + 1]
            if config.blocks:
                self.reduce.append(nn.Conv3d(before, channels[level], 1, bias=False))
                before = channels[level]
            self.up.append(self._block(before + channels[level], channels[level], level, stride=False))
        self.out = nn.Conv3d(channels[0], config.classes * folded, 1)
        self.sides = nn.ModuleList(
            nn.Conv3d(channels[level], config.classes, 1) for level in range(1, config.supervised + 1)
        )

    def forward(self, image: Tensor, other: Tensor | None = None) -> Tensor:
        """Predicts the logits of `image`; `other` is the other phase, for networks with `phases`.

        Images are padded to a size that the levels divide, and the logits are cropped again.
        """
        return self.logits(normalise(image), None if other is None else normalise(other))

    def logits(self, normalised: Tensor, other: Tensor | None = None) -> Tensor:
        """Predicts the logits of images that are normalised already; see `forward`."""
        return self._cropped(self.out(self._decoded(normalised, other)[-1]), normalised, self.config.fold)

    def logits_of_levels(self, normalised: Tensor, other: Tensor | None = None) -> list[Tensor]:
        """Predicts `logits`, then those of the supervised levels, from fine to coarse, interpolated to all voxels."""
        decoded = self._decoded(normalised, other)[::-1]
        finest = self._cropped(self.out(decoded[0]), normalised, self.config.fold)
        found = [finest]
        for level, side in enumerate(self.sides, start=1):
            factors = [fold * stride**level for fold, stride in zip(self.config.fold, self.config.stride, strict=True)]
            coarse = side(decoded[level]).float()
            sizes = [size * factor for size, factor in zip(coarse.shape[2:], factors, strict=True)]
            coarse = functional.interpolate(coarse, size=sizes, mode="trilinear", align_corners=False)
            found.append(self._cropped(coarse, normalised, (1, 1, 1)))
        return found

    def _decoded(self, normalised: Tensor, other: Tensor | None) -> list[Tensor]:
        """Returns the features of the decoder's levels, coarse to fine, on the padded grid."""
        if self.config.phases:
            if other is None:
                raise InputError("anatomy: this network needs both phases")
            normalised = torch.cat([normalised, other], dim=1)
        levels = len(self.config.channels) - 1
        multiples = [fold * stride**levels for fold, stride in zip(self.config.fold, self.config.stride, strict=True)]
        spare = [-size % multiple for size, multiple in zip(normalised.shape[2:], multiples, strict=True)]
        padded = functional.pad(
            normalised, [0, spare[2], 0, spare[1], 0, spare[0]], mode="constant", value=float(normalised.min())
        )
        values = fold(padded, self.config.fold)
        skips = []
        for block in self.down:
            values = block(values)
            skips.append(values)
        decoded = []
        for index, (block, skip) in enumerate(zip(self.up, skips[-2::-1], strict=True)):
            if self.config.blocks:
                values = self.reduce[index](values)
            values = functional.interpolate(values, size=skip.shape[2:], mode="trilinear", align_corners=False)
            values = block(torch.cat([values, skip], dim=1))
            decoded.append(values)
        return decoded

    def _cropped(self, values: Tensor, image: Tensor, factors: tuple[int, int, int]) -> Tensor:
        spatial = image.shape[2:]
        return unfold(values, factors)[:, :, : spatial[0], : spatial[1], : spatial[2]]

    def _encoder(self, before: int, after: int, level: int) -> nn.Sequential:
        config = self.config
        if not config.blocks:
            return self._block(before, after, level)
        steps = config.stride if level > 0 else (1, 1, 1)
        through = config.stride[0] == 2
        first = _convolution(before, after, through, steps)
        return nn.Sequential(
            *first, *(_ResidualBlock(after, through, config.through[level]) for _ in range(config.blocks[level]))
        )

    def _block(self, before: int, after: int, level: int, stride: bool = True) -> nn.Sequential:
        through = self.config.stride[0] == 2
        steps = self.config.stride if stride and level > 0 else (1, 1, 1)
        first = _convolution(before, after, through, steps)
        return nn.Sequential(*first, *_convolution(after, after, self.config.through[level], (1, 1, 1)))


class _ResidualBlock(nn.Module):
    """Two convolutions whose result is added to their input (He et al., Deep residual learning, CVPR 2016)."""

    def __init__(self, channels: int, first: bool, second: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(*_convolution(channels, channels, first, (1, 1, 1)))
        self.second = nn.Sequential(*_convolution(channels, channels, second, (1, 1, 1))[:2])

    def forward(self, values: Tensor) -> Tensor:
        """Returns values of the same shape."""
        return functional.leaky_relu(values + self.second(self.first(values)), _NEGATIVE_SLOPE)


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
