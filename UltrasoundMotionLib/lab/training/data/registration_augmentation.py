"""Augmentation of registration pairs, on the device: another pose, another shape, another scanner.

NumPy's generator draws the parameters and PyTorch's generator on the CPU the values of voxels, so that a batch is the
same on every device.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.fields import bspline_exact, control_shape, warp
from UltrasoundMotionLib.lab.training.data.pair_settings import Augmentation, PairAugmentation


def draw_changes(
    augmentation: PairAugmentation, spatial: tuple[int, ...], random: np.random.Generator, generator: torch.Generator
) -> tuple[Change, Change]:
    """Draws the changes of the fixed and of the moving image of a pair of size `spatial`."""
    shared = Change.draw(augmentation.shared, spatial, random, generator)
    fixed = shared.then(Change.draw(augmentation.fixed, spatial, random, generator))
    return fixed, shared.then(Change.draw(augmentation.moving, spatial, random, generator))


@dataclass(frozen=True, eq=False)
class Change:
    """One draw of an augmentation.

    Attributes:
        matrix: (n, n + 1), x' = A x + t around the centre of the image in voxels, order (x, y[, z]); None is the
            identity.
        controls: control points (1, n, ...) of B-spline displacements in voxels, each with its stride.
        gain, gamma: factor and exponent.
        biases: logarithms (1, 1, 4, ...) of smooth gains.
        noises: (standard deviation, seed) of each noise.
        flips: spatial axes that are reversed.
    """

    matrix: np.ndarray | None = None
    controls: tuple[tuple[Tensor, int], ...] = ()
    gain: float = 1.0
    gamma: float = 1.0
    biases: tuple[Tensor, ...] = ()
    noises: tuple[tuple[float, int], ...] = ()
    flips: tuple[int, ...] = ()

    @staticmethod
    def draw(
        limits: Augmentation, spatial: tuple[int, ...], random: np.random.Generator, generator: torch.Generator
    ) -> Change:
        """Draws a change within the limits."""
        dimension = len(spatial)
        change = Change(
            gain=math.exp(limits.gain * random.standard_normal()) if limits.gain else 1.0,
            gamma=math.exp(limits.gamma * random.standard_normal()) if limits.gamma else 1.0,
            flips=tuple(axis for axis in limits.flips if random.random() < 0.5),
        )
        if limits.rotation_deg or limits.tilt_deg or limits.scale or limits.stretch or limits.shift:
            turn = _rotation(limits, dimension, random)
            sizes = np.exp(
                random.uniform(-limits.scale, limits.scale) + random.uniform(-limits.stretch, limits.stretch, dimension)
            )
            shift = random.uniform(-limits.shift, limits.shift, dimension)
            matrix = np.column_stack([turn * sizes, shift])
            if limits.in_plane:
                matrix[2] = (0, 0, 1, 0)
            change = replace(change, matrix=matrix)
        if limits.elastic:
            points = torch.randn(1, dimension, *control_shape(spatial, limits.elastic_stride), generator=generator)
            if limits.in_plane:
                points[:, 2] = 0
            change = replace(change, controls=((limits.elastic * points, limits.elastic_stride),))
        if limits.bias:
            change = replace(change, biases=(limits.bias * torch.randn(1, 1, *[4] * dimension, generator=generator),))
        if limits.noise:
            change = replace(change, noises=((random.uniform(0, limits.noise), int(random.integers(2**62))),))
        return change

    def then(self, own: Change) -> Change:
        """Returns this change followed by an image's own; the displacements of their splines add up."""
        matrix = own.matrix if self.matrix is None else self.matrix
        if self.matrix is not None and own.matrix is not None:
            linear = self.matrix[:, :-1] @ own.matrix[:, :-1]
            matrix = np.column_stack([linear, self.matrix[:, :-1] @ own.matrix[:, -1] + self.matrix[:, -1]])
        return Change(
            matrix,
            self.controls + own.controls,
            self.gain * own.gain,
            self.gamma * own.gamma,
            self.biases + own.biases,
            self.noises + own.noises,
            self.flips + own.flips,
        )

    def apply(self, image: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the image (1, 1, *spatial) and its labels (1, *spatial) after the change."""
        displacement = self.displacement(tuple(image.shape[2:]), image.device)
        if displacement is not None:
            image, labels = warp(image, displacement), warp(labels[:, None], displacement, mode="nearest")[:, 0]
        if self.flips:
            image = image.flip([axis + 2 for axis in self.flips])
            labels = labels.flip([axis + 1 for axis in self.flips])
        return self._intensities(image), labels

    def displacement(self, spatial: tuple[int, ...], device: torch.device) -> Tensor | None:
        """Returns the displacement (1, n, *spatial) in voxels, from a voxel to the source of its value; None: none."""
        if self.matrix is None and not self.controls:
            return None
        total = torch.zeros(1, len(spatial), *spatial, device=device)
        for points, stride in self.controls:
            total = total + bspline_exact(points.to(device), spatial, stride)
        if self.matrix is not None:
            sizes = spatial[::-1]
            lines = [torch.arange(size, dtype=torch.float32, device=device) - (size - 1) / 2 for size in sizes]
            for row in range(len(sizes)):
                for column, line in enumerate(lines):
                    factor = float(self.matrix[row, column]) - (row == column)
                    total[:, row] += factor * line.view([-1] + [1] * column)
                total[:, row] += float(self.matrix[row, -1])
        return total

    def _intensities(self, image: Tensor) -> Tensor:
        if self.gamma != 1.0:
            image = image.clamp(min=0) ** self.gamma
        gain: Tensor | float = self.gain
        for bias in self.biases:
            mode = "bilinear" if bias.ndim == 4 else "trilinear"
            gain = (
                gain
                * functional.interpolate(
                    bias.to(image.device), size=image.shape[2:], mode=mode, align_corners=True
                ).exp()
            )
        if isinstance(gain, Tensor) or gain != 1.0:
            image = image * gain
        for deviation, seed in self.noises:
            generator = torch.Generator().manual_seed(seed)
            image = image + deviation * torch.randn(image.shape, generator=generator).to(image.device)
        return image


def _rotation(limits: Augmentation, dimension: int, random: np.random.Generator) -> np.ndarray:
    """Draws a rotation (n, n) around z by up to `rotation_deg`, then around x and y by up to `tilt_deg`."""
    matrix = np.eye(dimension)
    planes = [(0, 1, limits.rotation_deg)] + (
        [(1, 2, limits.tilt_deg), (0, 2, limits.tilt_deg)] if dimension == 3 else []
    )
    for first, second, limit in planes:
        angle = math.radians(random.uniform(-limit, limit)) if limit else 0.0
        turn = np.eye(dimension)
        turn[[first, second], [first, second]] = math.cos(angle)
        turn[first, second], turn[second, first] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    return matrix
