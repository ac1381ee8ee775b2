"""Random displacement fields that are known exactly: NeurReg's registration simulator."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.gaussian_smoothing import smooth


@dataclass(frozen=True)
class SimulatorSettings:
    """The ranges of a random field; every parameter is drawn uniformly.

    Attributes:
        rotation_deg: largest rotation about each axis, either way.
        scale: smallest and largest factor of size along each axis.
        translation: largest translation, as a share of the image's size.
        elastic: largest standard deviation of the independent normal offsets of all voxels, in voxels.
        elastic_smoothing: least and most standard deviation of the Gaussian that smooths the offsets, in voxels.
    """

    rotation_deg: float = 30.0
    scale: tuple[float, float] = (0.75, 1.25)
    translation: float = 0.02
    elastic: float = 1000.0
    elastic_smoothing: tuple[float, float] = (10.0, 13.0)

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1]:
            raise InputError(f"registration simulator: scale must be two rising factors above 0, got {self.scale}")
        if min(self.rotation_deg, self.translation, self.elastic, *self.elastic_smoothing) < 0:
            raise InputError(f"registration simulator: ranges must be 0 or more, got {self}")


def simulated_displacement(spatial: tuple[int, ...], settings: SimulatorSettings, device: torch.device) -> Tensor:
    """Draws a displacement (1, n, *spatial) in voxels, channels (x, y[, z]), from PyTorch's default generator.

    The image is rotated and scaled about its centre and shifted; elastic offsets are added.
    """
    dimension = len(spatial)
    scales = torch.diag(_uniform(*settings.scale, (dimension,)))
    linear = _rotation(dimension, settings.rotation_deg) @ scales - torch.eye(dimension)
    sizes = torch.tensor(spatial[::-1], dtype=torch.float32)
    shift = _uniform(-settings.translation, settings.translation, (dimension,)) * sizes
    lines = [torch.arange(size, dtype=torch.float32) - (size - 1) / 2 for size in spatial]
    places = torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1])
    field = torch.tensordot(linear, places, dims=1) + shift.view(-1, *[1] * dimension)
    deviation, width = _uniform(0.0, settings.elastic, ()), _uniform(*settings.elastic_smoothing, ())
    offsets = deviation * torch.randn(1, dimension, *spatial)
    return (field[None] + smooth(offsets, [float(width)] * dimension)).to(device)


def _uniform(low: float, high: float, shape: tuple[int, ...]) -> Tensor:
    return low + (high - low) * torch.rand(shape)


def _rotation(dimension: int, most_deg: float) -> Tensor:
    """Draws a rotation (n, n): one angle in 2D, one about each axis in 3D."""
    matrix = torch.eye(dimension)
    planes = [(0, 1)] if dimension == 2 else [(0, 1), (1, 2), (0, 2)]
    for first, second in planes:
        angle = math.radians(float(_uniform(-most_deg, most_deg, ())))
        turn = torch.eye(dimension)
        turn[first, first] = turn[second, second] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    return matrix
