"""The field from a reference frame to each new frame, updated frame by frame: the engine of `register_sequence`.

Every frame is matched with templates that all lie on the reference grid: the reference frame itself, which cannot
drift, and the frame before and a running mean of all, both warped onto the reference, which still resemble the frame
when speckle has decorrelated from the reference. Around each pixel they are weighted by their correlation with the
frame.
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.fields import compose, resample_displacement, warp
from UltrasoundMotionLib.fields.box_sums import box_sum
from UltrasoundMotionLib.registration.sequences.coupled_motion import laplacian, pairs, solve_motion
from UltrasoundMotionLib.registration.sequences.settings import SequenceSettings

LEAST_SIZE = 8
_LARGEST_STEP = 2.0
"""Largest motion in one linearisation, in voxels of the scale."""
_VARIANCE_FLOOR = 1e-4
"""Variance of intensities in [0, 1] that is added, so that dark, empty windows do not become pure noise."""
_LEAST_COUNT = 1e-3
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True, eq=False)
class _Level:
    """One scale of the pyramid.

    Attributes:
        size: of its images.
        control: size of its control grid.
        reference: normalised image (1, 1, *size).
        mask: 1 where the reference counts.
        moving_mask: above 0.5 where a frame holds tissue.
        voxels_per_node: (1, n, 1, ...), (x, y[, z]).
        stiffness: along (x, y[, z]), 1 along the finest axis.
    """

    TENSORS: ClassVar = ("reference", "mask", "moving_mask", "voxels_per_node")

    size: tuple[int, ...]
    control: tuple[int, ...]
    reference: Tensor
    mask: Tensor
    moving_mask: Tensor
    voxels_per_node: Tensor
    stiffness: tuple[float, ...]


class TemplateFollower:
    """The field from a reference frame to the newest frame.

    Args:
        reference: (1, 1, *spatial), intensities in [0, 1].
        mask: (1, 1, *spatial), above 0 where the reference counts.
        moving_mask: the same for every later frame.
        spacing: relative, (x, y[, z]).

    Attributes:
        field: (1, n, *control) displacement in nodes of the control grid, which covers the region of the frames
            (borders of voxels included).
    """

    def __init__(
        self,
        reference: Tensor,
        mask: Tensor,
        moving_mask: Tensor,
        settings: SequenceSettings,
        spacing: tuple[float, ...],
    ) -> None:
        self._config = settings
        self._size = tuple(reference.shape[2:])
        self._levels = [_level((reference, mask, moving_mask), settings, scale, spacing) for scale in settings.scales]
        self._average = self._previous = reference
        control = control_size(self._size, settings.control_stride)
        self.field = torch.zeros(1, len(self._size), *control, device=reference.device)

    @torch.no_grad()
    def update(self, frame: Tensor) -> Tensor:
        """Updates the field to the next frame (1, 1, *spatial).

        Returns:
            (1, n, *spatial) displacement u in voxels with frame(x + u(x)) = reference(x).
        """
        settings, last = self._config, self.field
        field = last
        for level, iterations in zip(self._levels, settings.iterations, strict=True):
            if iterations:
                field = self._refined(field, last, level, frame, iterations)
        displacement = resample_displacement(field, self._size)
        warped = warp(frame, displacement)
        self._average = torch.lerp(self._average, warped, settings.average_rate)
        self._previous, self.field = warped, field
        return displacement

    def on(self, device: str) -> TemplateFollower:
        """Returns the follower on another device."""
        moved = copy(self)
        moved._levels = [
            replace(level, **{name: getattr(level, name).to(device) for name in _Level.TENSORS})
            for level in self._levels
        ]
        moved._average, moved._previous, moved.field = (
            one.to(device) for one in (self._average, self._previous, self.field)
        )
        return moved

    def _refined(self, field: Tensor, last: Tensor, level: _Level, frame: Tensor, iterations: int) -> Tensor:
        """Refines the field by Gauss-Newton steps at one scale, each composed onto it."""
        settings = self._config
        moving = _resized(frame, level.size)
        templates = [(settings.reference, level.reference)]
        for weight, image in ((settings.previous, self._previous), (settings.average, self._average)):
            if weight:
                templates.append((weight, _normalised(_resized(image, level.size), level.mask, settings.window)))
        for _ in range(iterations):
            displacement = resample_displacement(field, level.size)
            inside = level.mask * (warp(level.moving_mask, displacement) > 0.5)
            warped = _normalised(warp(moving, displacement), inside, settings.window)
            tensor, force = _linearised(templates, warped, inside, level.control, settings.window)
            now, then = (resample_displacement(one, level.control) * level.voxels_per_node for one in (field, last))
            smooth, steady = (
                [weight * axis for axis in level.stiffness] for weight in (settings.smoothness, settings.steadiness)
            )
            force = force - laplacian(now, smooth) - laplacian(now - then, steady)
            both = [first + second for first, second in zip(smooth, steady, strict=True)]
            step = solve_motion(tensor, force, both, settings.solver_iterations).clamp(-_LARGEST_STEP, _LARGEST_STEP)
            field = compose(field, resample_displacement(step / level.voxels_per_node, tuple(field.shape[2:])))
        return field


def control_size(size: tuple[int, ...], stride: int) -> tuple[int, ...]:
    """The size of a control grid with a node about every `stride` voxels."""
    return tuple(max(min(voxels, LEAST_SIZE // 2), -(-voxels // stride)) for voxels in size)


def _level(
    images: tuple[Tensor, Tensor, Tensor], settings: SequenceSettings, scale: int, spacing: tuple[float, ...]
) -> _Level:
    """One scale of the images (reference, mask, moving mask)."""
    reference, mask, moving_mask = images
    finest = min(spacing)
    factors = [max(1.0, scale * finest / step) for step in spacing[::-1]]
    full = tuple(reference.shape[2:])
    size = tuple(
        max(min(voxels, LEAST_SIZE), round(voxels / factor)) for voxels, factor in zip(full, factors, strict=True)
    )
    control = control_size(size, settings.control_stride)
    ratio = [voxels / nodes for voxels, nodes in zip(size[::-1], control[::-1], strict=True)]
    small = (_resized(mask, size) > 0.5).to(reference.dtype)
    voxel = [step * before / after for step, before, after in zip(spacing, full[::-1], size[::-1], strict=True)]
    return _Level(
        size=size,
        control=control,
        reference=_normalised(_resized(reference, size), small, settings.window),
        mask=small,
        moving_mask=_resized(moving_mask, size),
        voxels_per_node=torch.tensor(ratio, device=reference.device).view(1, -1, *[1] * len(size)),
        stiffness=tuple((min(voxel) / one) ** 2 for one in voxel),
    )


def _normalised(image: Tensor, mask: Tensor, window: int) -> Tensor:
    """An image normalised by the mean and deviation of each window within the mask; 0 outside."""
    count, first, second = box_sum(torch.cat([mask[0], (image * mask)[0], (image.square() * mask)[0]]), window)
    count = count.clamp(min=_LEAST_COUNT)
    mean = first / count
    variance = (second / count - mean.square()).clamp(min=0) + _VARIANCE_FLOOR
    return (image - mean) * variance.rsqrt() * mask


def _linearised(
    templates: list[tuple[float, Tensor]], warped: Tensor, inside: Tensor, control: tuple[int, ...], window: int
) -> tuple[Tensor, Tensor]:
    """Makes the normal equations of warped(x + d) = template(x) at every node.

    Templates are blended by their correlation with the warped frame. The gradient is the mean of both images' (Malis,
    Improving vision-based control using efficient second-order minimization techniques, ICRA 2004).

    Returns:
        Matrix (1, n (n + 1) / 2, *control) and force (1, n, *control), both in units of the mean squared gradient along
        an axis.
    """
    dimension = warped.ndim - 2
    total = sum(weight for weight, _ in templates)
    *products, count = box_sum(torch.cat([(template * warped)[0] for _, template in templates] + [inside[0]]), window)
    count = count.clamp(min=_LEAST_COUNT)
    weights = [
        weight / total * (product / count).clamp(0, 1) for (weight, _), product in zip(templates, products, strict=True)
    ]
    together = sum(weights)
    blend = sum(weight * template for weight, (_, template) in zip(weights, templates, strict=True)) / together.clamp(
        min=_LEAST_WEIGHT
    )
    residual, both = blend - warped, (blend + warped) / 2
    together = together * inside
    gradient = torch.cat([_derivative(both, both.ndim - 1 - axis) for axis in range(dimension)], dim=1)
    unit = (gradient.square().sum(1) * inside).sum() / inside.sum().clamp(min=1) / dimension + _LEAST_WEIGHT
    products = [gradient[:, i] * gradient[:, j] for i, j in pairs(dimension)] + [
        gradient[:, i] * residual[:, 0] for i in range(dimension)
    ]
    pooled = _pooled(torch.stack(products, dim=1) * together, control) / unit
    return pooled[:, :-dimension], pooled[:, -dimension:]


def _derivative(image: Tensor, along: int) -> Tensor:
    return torch.gradient(image, dim=along)[0] if image.shape[along] > 1 else torch.zeros_like(image)


def _pooled(image: Tensor, size: tuple[int, ...]) -> Tensor:
    if image.ndim == 4:
        return functional.adaptive_avg_pool2d(image, (size[0], size[1]))
    return functional.adaptive_avg_pool3d(image, (size[0], size[1], size[2]))


def _resized(image: Tensor, size: tuple[int, ...]) -> Tensor:
    return image if tuple(image.shape[2:]) == size else _pooled(image, size)
