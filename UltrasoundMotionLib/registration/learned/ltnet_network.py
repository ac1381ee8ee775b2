"""LT-Net's networks: two generators of correspondence, there and back, and the discriminator of warped atlases.

Wang et al., "LT-Net: Label Transfer by Learning Reversible Voxel-wise Correspondence for One-shot Medical Image Segmentation", CVPR 2020
(arXiv:2003.07072). From its supplement: the generator G_F gives the correspondence from the atlas to an image, the discriminator D tells images
from warped atlases. From its abstract: the way back leads from the warped atlas to the atlas. The main paper with the layers' sizes was not at
hand: the generators here are VoxelMorph's U-Net (which the supplement names as the standard), the discriminator is a PatchGAN, and both sizes
are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import integrate_velocity, resample_displacement
from UltrasoundMotionLib.registration.learned.model_domain import normalise
from UltrasoundMotionLib.registration.multiscale_network import NEGATIVE_SLOPE, ResidualUNet

OUTPUTS = ("displacement", "velocity")


@dataclass(frozen=True)
class LtNetConfig:
    """What the generators are made of.

    Attributes:
        dimension: 2 or 3.
        encoder, decoder, full_size: of `ResidualUNet`.
        output: "displacement" as published (from memory), or "velocity": the flow of what the U-Net gives, which hardly folds.
        squarings: of a velocity.
        shared: one generator goes both ways, so that it sees twice as many pairs; two are published (from memory).
    """

    dimension: int = 3
    encoder: tuple[int, ...] = (16, 32, 32, 32)
    decoder: tuple[int, ...] = (32, 32, 32, 32, 32)
    full_size: bool = False
    output: str = "velocity"
    squarings: int = 5
    shared: bool = True

    def __post_init__(self) -> None:
        if self.dimension not in (2, 3) or self.output not in OUTPUTS or self.squarings < 0:
            raise InputError(
                f"ltnet: expected dimension 2 or 3, output {' or '.join(OUTPUTS)} and squarings of 0 or more,"
                f" got {self.dimension}, {self.output!r}, {self.squarings}"
            )


class LtNet(nn.Module):
    """Both generators. Images are (B, 1, *spatial) in [0, 1] on one grid, fields (B, n, *spatial) in its voxels, channels (x, y[, z])."""

    def __init__(self, config: LtNetConfig) -> None:
        super().__init__()
        self.config = config
        self.forth = self._generator()
        self.back = None if config.shared else self._generator()

    def forward(self, image: Tensor, atlas: Tensor) -> Tensor:
        """G_F: u with image(x) = atlas(x + u(x))."""
        return self._field(self.forth, image, atlas)

    def backward_field(self, atlas: Tensor, other: Tensor) -> Tensor:
        """G_B: u with atlas(x) = other(x + u(x)), where `other` is the atlas warped onto an image, or the image itself."""
        return self._field(self.back or self.forth, atlas, other)

    def _generator(self) -> ResidualUNet:
        config = self.config
        return ResidualUNet(config.dimension, config.encoder, config.decoder, full_size=config.full_size)

    def _field(self, generator: ResidualUNet, fixed: Tensor, moving: Tensor) -> Tensor:
        values = generator(torch.cat([normalise(moving), normalise(fixed)], dim=1)).float()  # positions need more digits than mixed precision has
        if self.config.output == "velocity":
            values = integrate_velocity(values, self.config.squarings)
        return resample_displacement(values, tuple(fixed.shape[2:]))


class PatchDiscriminator(nn.Module):
    """(B, 1, *spatial) image -> (B, 1, *patches): above 0 where a patch looks like a real image, below where like a warped atlas.

    Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017, without normalisation layers.
    """

    def __init__(self, dimension: int = 3, channels: tuple[int, ...] = (16, 32, 64)) -> None:
        super().__init__()
        convolution = nn.Conv2d if dimension == 2 else nn.Conv3d
        self.down = nn.ModuleList(convolution(i, o, 4, stride=2, padding=1) for i, o in pairwise([1, *channels]))
        self.verdict = convolution(channels[-1], 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """One number for each patch, of about 2^(layers + 2) voxels along an axis."""
        values = image
        for convolution in self.down:
            values = functional.leaky_relu(convolution(values), NEGATIVE_SLOPE)
        return self.verdict(values)
