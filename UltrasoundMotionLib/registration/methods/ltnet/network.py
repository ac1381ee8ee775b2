"""LT-Net's networks: the generators of correspondence, there and back, and the discriminator of warped atlases.

Wang et al., "LT-Net: Label Transfer by Learning Reversible Voxel-wise Correspondence for One-shot Medical Image
Segmentation", CVPR 2020 (arXiv:2003.07072). From its supplement: the generator G_F gives the correspondence from the
atlas to an image, the discriminator D tells images from warped atlases. From its abstract: the way back leads from the
warped atlas to the atlas. The main paper with the layers' sizes was not at hand: the generators are VoxelMorph's
published U-Net (which the supplement names as the standard configuration), the discriminator is a PatchGAN, and both
sizes may differ from the paper's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from UltrasoundMotionLib.registration.methods.voxelmorph.network import (
    HALF_SIZE_DECODER,
    VoxelMorph,
    VoxelMorphConfig,
)
from UltrasoundMotionLib.registration.methods.voxelmorph.unet import NEGATIVE_SLOPE


@dataclass(frozen=True)
class LtNetConfig:
    """Configuration of the generators.

    Attributes:
        dimension, encoder, decoder, full_size, output: of each generator, see `VoxelMorphConfig`. The published
            generator gives a displacement; the flow of a velocity folds hardly anywhere.
        shared: one generator goes both ways, so that it sees twice as many pairs; the paper has one for each way.
    """

    dimension: int = 3
    encoder: tuple[int, ...] = (16, 32, 32, 32)
    decoder: tuple[int, ...] = HALF_SIZE_DECODER
    full_size: bool = False
    output: str = "velocity"
    shared: bool = True

    def generator(self) -> VoxelMorphConfig:
        """The configuration of one generator.

        Images are normalised to mean 0 and deviation 1, without which learning took three times as many steps.
        """
        return VoxelMorphConfig(
            self.dimension, self.encoder, self.decoder, self.output, self.full_size, normalised=True
        )


def published_config(dimension: int = 3) -> LtNetConfig:
    """Returns the paper's generators: a displacement at full size, one network for each way."""
    network = VoxelMorphConfig()
    return LtNetConfig(dimension, network.encoder, network.decoder, full_size=True, output="displacement", shared=False)


class LtNet(nn.Module):
    """The generators of the correspondence from an atlas to an image and back.

    Images are (B, 1, *spatial) in [0, 1] on one grid, fields (B, n, *spatial) in its voxels, channels (x, y[, z]).
    """

    def __init__(self, config: LtNetConfig) -> None:
        super().__init__()
        self.config = config
        self.forth = VoxelMorph(config.generator())
        self.back = None if config.shared else VoxelMorph(config.generator())

    def forward(self, image: Tensor, atlas: Tensor) -> Tensor:
        """Predicts u with image(x) = atlas(x + u(x)), the paper's G_F."""
        return self.forth(image, atlas)

    def backward_field(self, atlas: Tensor, other: Tensor) -> Tensor:
        """Predicts u with atlas(x) = other(x + u(x)), the paper's G_B.

        `other` is the atlas warped onto an image, or the image itself.
        """
        return (self.back or self.forth)(atlas, other)


class PatchDiscriminator(nn.Module):
    """Tells real images from warped atlases: (B, 1, *spatial) -> (B, 1, *patches), above 0 for a real image.

    Isola et al., Image-to-image translation with conditional adversarial networks, CVPR 2017, without normalisation
    layers.
    """

    def __init__(self, dimension: int = 3, channels: tuple[int, ...] = (16, 32, 64)) -> None:
        super().__init__()
        convolution = nn.Conv2d if dimension == 2 else nn.Conv3d
        self.down = nn.ModuleList(convolution(i, o, 4, stride=2, padding=1) for i, o in pairwise([1, *channels]))
        self.verdict = convolution(channels[-1], 1, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Scores patches of about 2^(layers + 2) voxels along each axis."""
        values = image
        for convolution in self.down:
            values = functional.leaky_relu(convolution(values), NEGATIVE_SLOPE)
        return self.verdict(values)
