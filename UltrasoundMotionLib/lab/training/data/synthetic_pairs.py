"""Pairs of synthetic images of random shapes, for pre-training a registration network without any data.

M. Hoffmann et al., SynthMorph: learning contrast-invariant registration without acquired images, IEEE TMI 2022. Shapes
are the largest of smooth random fields at every voxel, deformed at random for each image, each with a random grey level
that both images share but for a small difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.pair_settings import PairAugmentation
from UltrasoundMotionLib.lab.training.data.registration_augmentation import draw_changes
from UltrasoundMotionLib.lab.training.data.registration_pairs import DrawnPairs
from UltrasoundMotionLib.registration.gaussian_smoothing import smooth


@dataclass(frozen=True)
class SyntheticPairSettings:
    """The settings of synthetic pairs.

    Attributes:
        shape: size (D, H, W) of the images.
        labels: values of the shapes that are labelled; the others are surroundings.
        shapes: number of shapes in an image.
        shape_voxels: voxels between the points of the random fields, about the size of a shape.
        grey_difference: standard deviation of the difference of a shape's grey level between the images.
        noise: standard deviation of the noise within a shape.
        blur: standard deviation of the blur, in voxels.
        size: pairs in a batch of each process.
        augmentation: of every pair; its deformations are what the network learns to find.
    """

    shape: tuple[int, ...]
    labels: tuple[int, ...]
    shapes: int = 12
    shape_voxels: int = 12
    grey_difference: float = 0.05
    noise: float = 0.03
    blur: float = 0.7
    size: int = 1
    augmentation: PairAugmentation = field(default_factory=PairAugmentation)

    def __post_init__(self) -> None:
        if self.shapes <= len(self.labels) or not self.labels:
            raise InputError(
                f"synthetic pairs: expected more shapes than the {len(self.labels)} labels, got {self.shapes}"
            )
        if min(self.shape) < 1 or self.shape_voxels < 2 or self.size < 1:
            raise InputError(f"synthetic pairs: sizes must be 1 or more and shapes 2 voxels or more, got {self}")


class SyntheticPairs(DrawnPairs):
    """Draws batches of synthetic pairs.

    Args:
        settings: of the pairs.
        seed: of everything drawn.
    """

    def __init__(self, settings: SyntheticPairSettings, seed: int) -> None:
        super().__init__(settings.size, seed)
        self.settings = settings
        self.description = repr(settings)

    def _pair(
        self, random: np.random.Generator, generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        settings = self.settings
        points = [max(2, round(size / settings.shape_voxels)) for size in settings.shape]
        fields = torch.randn(1, settings.shapes, *points, generator=generator).to(device)
        shapes = functional.interpolate(fields, size=settings.shape, mode="trilinear", align_corners=True).argmax(1)
        greys = random.uniform(0, 1, settings.shapes)
        values = torch.zeros(settings.shapes, dtype=torch.long, device=device)
        values[: len(settings.labels)] = torch.tensor(settings.labels, device=device)
        changes = draw_changes(settings.augmentation, settings.shape, random, generator)
        labels = values[shapes]
        (fixed, fixed_labels), (moving, moving_labels) = (
            change.apply(self._image(shapes, greys, random, generator), labels) for change in changes
        )
        return fixed, moving, fixed_labels, moving_labels

    def _image(
        self, shapes: Tensor, greys: np.ndarray, random: np.random.Generator, generator: torch.Generator
    ) -> Tensor:
        """Returns one image (1, 1, *spatial) of the shapes (1, *spatial)."""
        settings = self.settings
        own = np.clip(greys + settings.grey_difference * random.standard_normal(len(greys)), 0, 1)
        table = torch.tensor(own, dtype=torch.float32, device=shapes.device)
        noise = settings.noise * torch.randn(1, 1, *settings.shape, generator=generator).to(shapes.device)
        return smooth(table[shapes][:, None] + noise, [settings.blur] * 3).clamp(0, 1)
