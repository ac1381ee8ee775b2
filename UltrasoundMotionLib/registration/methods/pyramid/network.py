"""The pyramid network: a velocity field from coarse to fine, from the features of both images.

One encoder gives features of each image on every level of a pyramid. Coarse to fine, the features of both images are
warped half the way towards each other by the velocity so far, and a decoder predicts an addition to the velocity from
both and from their local correlation (as PWC-Net does for optical flow: Sun et al., CVPR 2018; for diffeomorphisms Mok
and Chung, LapIRN, MICCAI 2020). The decoder sees the images in both orders and the difference of its answers is the
addition, so that images that change their roles get the opposite velocity: exp(v) and exp(-v) are the two directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import integrate_velocity, resample_displacement, warp
from UltrasoundMotionLib.registration.learned.anatomy_network import fold, unfold
from UltrasoundMotionLib.registration.learned.model_domain import normalise
from UltrasoundMotionLib.registration.learned.slice_convolution import convolution
from UltrasoundMotionLib.registration.methods.voxelmorph.unet import set_to_zero

SQUARINGS = 6
_COARSE_SQUARINGS = 4
_GROUPS = 8
_NEGATIVE_SLOPE = 0.1
_FIRST_FIELD_DEVIATION = 1e-3


@dataclass(frozen=True)
class PyramidConfig:
    """Configuration of the network.

    Attributes:
        classes: number of classes, the background among them, that the features are trained to tell apart.
        channels: of the encoder's levels, fine to coarse.
        features: channels of the features of every level, which are warped and compared.
        hidden: channels of the decoder.
        fold: voxels along (z, y, x) that become channels; the velocity has one vector for them.
        stride: along (z, y, x), from a level to the next.
        reach: voxels along (z, y, x) over which the features are correlated, to either side; on the finest level, where
            the images are close to each other already, they are compared in place.
    """

    classes: int = 3
    channels: tuple[int, ...] = (24, 32, 48, 48)
    features: int = 24
    hidden: int = 32
    fold: tuple[int, int, int] = (2, 2, 2)
    stride: tuple[int, int, int] = (2, 2, 2)
    reach: tuple[int, int, int] = (1, 1, 1)

    def __post_init__(self) -> None:
        widths = (*self.channels, self.features, self.hidden)
        if self.classes < 2 or len(self.channels) < 2 or min(widths) < 1 or any(one % _GROUPS for one in widths):
            raise InputError(
                f"pyramid: expected 2 classes or more, 2 levels or more and channels that are multiples of {_GROUPS},"
                f" got {self}"
            )
        for name in ("fold", "stride", "reach"):
            if len(getattr(self, name)) != 3:
                raise InputError(f"pyramid: {name} has one number for each of z, y, x, got {getattr(self, name)}")
        if any(one not in {1, 2} for one in (*self.fold, *self.stride)) or any(one not in {0, 1} for one in self.reach):
            raise InputError(
                f"pyramid: fold and stride are 1 or 2 and reach 0 or 1 along z, y, x, got {self.fold}, {self.stride}"
                f" and {self.reach}"
            )


HIPPOCAMPUS_PYRAMID = PyramidConfig()
CARDIAC_PYRAMID = PyramidConfig(
    classes=4, channels=(24, 32, 48, 48, 48), fold=(1, 2, 2), stride=(1, 2, 2), reach=(0, 1, 1)
)
"""The number of slices is kept, and features are correlated within each."""


class PyramidNetwork(nn.Module):
    """The network: two images (B, 1, D, H, W) of any intensities -> displacement (B, 3, D, H, W) in voxels."""

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        self.config = config
        folded = config.fold[0] * config.fold[1] * config.fold[2]
        flat = config.stride[0] == 1
        self.down = nn.ModuleList()
        before = folded
        for level, after in enumerate(config.channels):
            # slices that are kept on every level are convolved among each other on the coarse half of them only
            through = not flat or level >= len(config.channels) // 2
            self.down.append(_block(before, after, through))
            before = after
        self.merge = nn.ModuleList()
        self.decode = nn.ModuleList()
        self.field = nn.ModuleList()
        for level in range(len(config.channels)):
            coarsest = level == len(config.channels) - 1
            through = not flat or level >= len(config.channels) // 2
            merged = config.channels[level] + (0 if coarsest else config.features)
            self.merge.append(nn.Sequential(*_convolution(merged, config.features, through)))
            compared = math.prod(2 * reach + 1 for reach in self._reach(level))
            seen = 2 * config.features + compared + (0 if coarsest else config.hidden)
            self.decode.append(_block(seen, config.hidden, through))
            field = nn.Conv3d(config.hidden, 3, 3, padding=1)
            nn.init.normal_(field.weight, std=_FIRST_FIELD_DEVIATION)
            set_to_zero(field.bias)
            self.field.append(field)
        self.classify = nn.Conv3d(config.features, config.classes * folded, 1)

    def features(self, image: Tensor) -> list[Tensor]:
        """Returns the features of images (B, 1, D, H, W), fine to coarse.

        The images are normalised, and padded to a size that the levels divide.
        """
        config = self.config
        normalised = normalise(image)
        spare = [-size % multiple for size, multiple in zip(image.shape[2:], self._multiples(), strict=True)]
        padded = functional.pad(
            normalised, [0, spare[2], 0, spare[1], 0, spare[0]], mode="constant", value=float(normalised.min())
        )
        values = fold(padded, config.fold)
        levels = []
        for level, block in enumerate(self.down):
            values = block(values if level == 0 else functional.avg_pool3d(values, config.stride))
            levels.append(values)
        merged: list[Tensor] = []
        for own, block in zip(reversed(levels), reversed(self.merge), strict=True):
            coarser = [functional.interpolate(one, size=own.shape[2:], mode="nearest") for one in merged[-1:]]
            merged.append(block(torch.cat([own, *coarser], dim=1)))
        return merged[::-1]

    def velocity(self, fixed: list[Tensor], moving: list[Tensor]) -> Tensor:
        """Returns the velocity (B, 3, *folded) in voxels of the folded and padded grid, float32, channels (x, y, z).

        Args:
            fixed, moving: the features of both images, see `features`.
        """
        velocity: Tensor | None = None
        hidden: Tensor | None = None
        for level in reversed(range(len(self.decode))):
            first, second = fixed[level], moving[level]
            size = tuple(first.shape[2:])
            if velocity is not None:
                velocity = resample_displacement(velocity, size)
                # no gradient: where features are read is settled by the level before (as in RAFT), at half the cost
                half = integrate_velocity(torch.cat([-velocity, velocity]).detach() / 2, _COARSE_SQUARINGS)
                first, second = warp(torch.cat([first, second]), half).chunk(2)
            one, other = torch.cat([first, second]), torch.cat([second, first])
            seen = [one, other, correlation(one, other, self._reach(level))]
            if hidden is not None:
                seen.append(functional.interpolate(hidden, size=size, mode="nearest"))
            hidden = self.decode[level](torch.cat(seen, dim=1))
            with torch.autocast(hidden.device.type, enabled=False):
                # positions need more digits than bfloat16 has
                there, back = self.field[level](hidden.float()).chunk(2)
            addition = there - back
            velocity = addition if velocity is None else velocity + addition
        assert velocity is not None  # there are two levels or more
        return velocity

    def logits(self, features: list[Tensor], spatial: tuple[int, ...]) -> Tensor:
        """Returns class logits (B, classes, *spatial), float32, from the features of images of that size."""
        values = unfold(self.classify(features[0]), self.config.fold).float()
        return values[:, :, : spatial[0], : spatial[1], : spatial[2]]

    def displacement(self, velocity: Tensor, spatial: tuple[int, ...]) -> Tensor:
        """Returns exp(velocity) as a displacement (B, 3, *spatial) in voxels of the images' grid."""
        exponential = integrate_velocity(velocity, SQUARINGS)
        padded = tuple(size * factor for size, factor in zip(velocity.shape[2:], self.config.fold, strict=True))
        return resample_displacement(exponential, padded)[:, :, : spatial[0], : spatial[1], : spatial[2]]

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Returns the displacement (B, 3, D, H, W) in voxels of the images' grid: fixed(x) = moving(x + u(x))."""
        first, second = _halves(self.features(torch.cat([fixed, moving])))
        return self.displacement(self.velocity(first, second), tuple(fixed.shape[2:]))

    def _reach(self, level: int) -> tuple[int, int, int]:
        return (0, 0, 0) if level == 0 else self.config.reach

    def _multiples(self) -> list[int]:
        levels = len(self.config.channels) - 1
        return [fold * stride**levels for fold, stride in zip(self.config.fold, self.config.stride, strict=True)]


def correlation(first: Tensor, second: Tensor, reach: tuple[int, int, int]) -> Tensor:
    """Correlates features (B, C, D, H, W) with those of the voxels around: the mean product over the channels.

    Outside the image, features are 0.

    Args:
        reach: voxels along (z, y, x) to either side.

    Returns:
        (B, offsets, D, H, W), in the order of the offsets from negative to positive, x fastest.
    """
    depth, height, width = first.shape[2:]
    padded = functional.pad(second, [reach[2], reach[2], reach[1], reach[1], reach[0], reach[0]])
    products = [
        (first * padded[:, :, z : z + depth, y : y + height, x : x + width]).mean(1)
        for z in range(2 * reach[0] + 1)
        for y in range(2 * reach[1] + 1)
        for x in range(2 * reach[2] + 1)
    ]
    return torch.stack(products, dim=1)


def _halves(levels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Returns the features of the first and of the second half of a batch."""
    pairs = [level.chunk(2) for level in levels]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _convolution(before: int, after: int, through: bool) -> tuple[nn.Module, ...]:
    return (
        convolution(before, after, through=through),
        nn.GroupNorm(_GROUPS, after),
        nn.LeakyReLU(_NEGATIVE_SLOPE, inplace=True),
    )


def _block(before: int, after: int, through: bool) -> nn.Sequential:
    return nn.Sequential(*_convolution(before, after, through), *_convolution(after, after, through))
