"""VoxelMorph: one network from both images to the displacement, or to the velocity of a diffeomorphism."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import integrate_velocity, resample_displacement
from UltrasoundMotionLib.registration.learned.model_domain import normalise
from UltrasoundMotionLib.registration.methods.voxelmorph.unet import NEGATIVE_SLOPE, ResidualUNet, set_to_zero

OUTPUTS = ("displacement", "velocity")
SQUARINGS = 6


@dataclass(frozen=True)
class VoxelMorphConfig:
    """Configuration of the network.

    Attributes:
        dimension: 2 or 3.
        encoder, decoder: channels, see `ResidualUNet`.
        output: "displacement" (Balakrishnan et al., TMI 2019) or "velocity", integrated (Dalca et al., MedIA 2019).
        full_size: the network's field has all voxels of the image; False: half of them along each axis, as in the
            diffeomorphic one.
        normalised: images are normalised to mean 0 and deviation 1 first; False: they are taken in [0, 1].
    """

    dimension: int = 3
    encoder: tuple[int, ...] = (16, 32, 32, 32)
    decoder: tuple[int, ...] = (32, 32, 32, 32, 32, 16, 16)
    output: str = "displacement"
    full_size: bool = True
    normalised: bool = False

    def __post_init__(self) -> None:
        if self.dimension not in (2, 3) or self.output not in OUTPUTS:
            raise InputError(
                f"voxelmorph: dimension is 2 or 3 and output one of {OUTPUTS}, got {self.dimension} and {self.output!r}"
            )


HALF_SIZE_DECODER = (32, 32, 32, 32, 32)


class VoxelMorph(nn.Module):
    """The network: two images (B, 1, *spatial) in [0, 1] -> displacement (B, n, *spatial).

    `unet` has the weights that `method="ssr"` takes, see `multiscale.weights`.
    """

    def __init__(self, config: VoxelMorphConfig) -> None:
        super().__init__()
        self.config = config
        self.unet = ResidualUNet(config.dimension, config.encoder, config.decoder, full_size=config.full_size)
        for layer in self.unet.modules():
            if isinstance(layer, nn.Conv2d | nn.Conv3d):
                # PyTorch's default lets values fade from layer to layer, and short trainings make no progress
                nn.init.kaiming_normal_(layer.weight, NEGATIVE_SLOPE)
                set_to_zero(layer.bias)
        self.unet.reset_field()

    def raw_field(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Predicts the displacement or velocity (B, n, *spatial or half of it) in voxels of its own grid, float32."""
        images = [normalise(one) if self.config.normalised else one for one in (moving, fixed)]
        return self.unet(torch.cat(images, dim=1)).float()  # positions need more digits than mixed precision has

    def forward(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Predicts the displacement (B, n, *spatial) in voxels of the images' grid, channels (x, y[, z])."""
        return self.displacement(self.raw_field(fixed, moving), tuple(fixed.shape[2:]))

    def displacement(self, raw_field: Tensor, spatial: tuple[int, ...], *, backward: bool = False) -> Tensor:
        """The displacement of a raw field; `backward` gives its inverse where it is a velocity."""
        if self.config.output == "velocity":
            raw_field = integrate_velocity(-raw_field if backward else raw_field, SQUARINGS)
        return resample_displacement(raw_field, spatial)
