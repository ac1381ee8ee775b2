"""Keeps one field on the reference grid in step with the frames that come: the engine of `sequence`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import compose, resample_displacement, warp
from UltrasoundMotionLib.fields.box_sums import box_sum
from UltrasoundMotionLib.registration.coupled_motion import laplacian, pairs, solve_motion

LEAST_SIZE = 8
LARGEST_STEP = 2.0
VARIANCE_FLOOR = 1e-4


@dataclass(frozen=True)
class FollowingConfig:
    scales: tuple[int, ...] = (4, 2, 1)
    iterations: tuple[int, ...] = (3, 3, 3)
    control_stride: int = 4
    window: int = 11
    reference: float = 1.0
    previous: float = 1.0
    average: float = 0.0
    average_rate: float = 0.2
    smoothness: float = 0.1
    steadiness: float = 2.0
    momentum: float = 0.0
    conjugate_gradients: int = 20
    power: float = 2.0
    robust: float = 0.0
    presmooth: float = 0.0


class _Template:
    def __init__(self, image: Tensor, mask: Tensor, window: int) -> None:
        self.mask = mask
        self.normalised = _normalised(image, mask, window)


def _sum(image: Tensor, window: int) -> Tensor:
    return box_sum(image[0], window)[None]


def _normalised(image: Tensor, mask: Tensor, window: int) -> Tensor:
    """Less the mean and over the deviation of its window, within the mask."""
    sums = box_sum(torch.cat([mask[0], (image * mask)[0], (image * image * mask)[0]]), window)
    count = sums[0].clamp(min=1e-3)
    mean = sums[1] / count
    variance = (sums[2] / count - mean * mean).clamp(min=0) + VARIANCE_FLOOR
    return ((image[0, 0] - mean) * variance.rsqrt())[None, None] * mask


class TemplateFollower:
    def __init__(self, reference: Tensor, mask: Tensor, config: FollowingConfig, spacing=None) -> None:
        self.config = config
        self.size = tuple(reference.shape[2:])
        self.dimension = len(self.size)
        self.control = self._control(1)
        self.levels = [tuple(max(min(n, LEAST_SIZE), round(n / s)) for n in self.size) for s in config.scales]
        self.mask = mask
        self.masks = [(_resized(mask, size) > 0.5).float() for size in self.levels]
        self.reference = [_normalised(_resized(self._pre(reference), size), m, config.window) for size, m in zip(self.levels, self.masks)]
        self.average = self._pre(reference)
        self.previous = self._pre(reference)
        self.field = torch.zeros(1, self.dimension, *self.control, device=reference.device)
        self.before = self.field

    def _pre(self, image):
        from UltrasoundMotionLib.registration.gaussian_smoothing import smooth
        return smooth(image, [self.config.presmooth] * self.dimension) if self.config.presmooth else image

    def _control(self, scale):
        return tuple(max(min(n, 4), -(-n // (scale * self.config.control_stride))) for n in self.size)

    def update(self, frame: Tensor) -> Tensor:
        c = self.config
        image = self._pre(frame)
        start = self.field + c.momentum * (self.field - self.before)
        last = self.field
        field = start
        for index, (scale, iterations) in enumerate(zip(c.scales, c.iterations, strict=True)):
            if iterations:
                field = self._refine(index, scale, iterations, image, field, last)
        self.before, self.field = self.field, field
        full = resample_displacement(field, self.size)
        warped = warp(image, full)
        self.average = self.average + c.average_rate * (warped - self.average)
        self.previous = warped
        return full

    def _refine(self, index, scale, iterations, image, field, last):
        c = self.config
        size = self.levels[index]
        control = self._control(scale)
        moving = _resized(image, size)
        moving_mask = _resized(self.mask, size)
        fixed_mask = self.masks[index]
        templates = [(c.reference, self.reference[index])]
        if c.previous:
            templates.append((c.previous, _normalised(_resized(self.previous, size), fixed_mask, c.window)))
        if c.average:
            templates.append((c.average, _normalised(_resized(self.average, size), fixed_mask, c.window)))
        total = sum(w for w, _ in templates)
        px = torch.tensor([s / k for s, k in zip(size[::-1], control[::-1])]).view(1, -1, *[1] * self.dimension)
        for _ in range(iterations):
            u = resample_displacement(field, size)
            inside = fixed_mask * (warp(moving_mask, u) > 0.5)
            warped = _normalised(warp(moving, u), inside, c.window)
            correlations = box_sum(torch.cat([(t * warped)[0] for _, t in templates] + [inside[0]]), c.window)
            count = correlations[-1].clamp(min=1e-3)
            weights = [w / total * (x / count).clamp(0, 1) ** c.power for (w, _), x in zip(templates, correlations)]
            weight = sum(weights)
            blend = sum(w * t for w, (_, t) in zip(weights, templates)) / weight.clamp(min=1e-6)
            residual = blend - warped
            weight = weight * inside
            if c.robust:
                weight = weight / (1 + (residual / c.robust) ** 2)
            gradient = torch.cat([torch.gradient(0.5 * (blend + warped), dim=warped.ndim - 1 - a)[0] for a in range(self.dimension)], 1)
            entries = [gradient[:, i] * gradient[:, j] * weight for i, j in pairs(self.dimension)]
            forces = [gradient[:, i] * residual[:, 0] * weight for i in range(self.dimension)]
            unit = float(((gradient**2).sum(1) * inside).sum() / inside.sum().clamp(min=1)) / self.dimension + 1e-9
            pooled = _pooled(torch.stack([e.reshape(size) for e in entries + forces])[None], control) / unit
            n = len(entries)
            # in pixels of the scale
            now = resample_displacement(field, control) * px
            then = resample_displacement(last, control) * px
            force = pooled[:, n:] - laplacian(now, [c.smoothness] * self.dimension) - laplacian(now - then, [c.steadiness] * self.dimension)
            d = solve_motion(pooled[:, :n], force, [c.smoothness + c.steadiness] * self.dimension, c.conjugate_gradients)
            d = d.clamp(-LARGEST_STEP, LARGEST_STEP) / px
            field = compose(field, resample_displacement(d, self.control))
        return field


def _pooled(image, size):
    return (functional.adaptive_avg_pool2d if image.ndim == 4 else functional.adaptive_avg_pool3d)(image, size)


def _resized(image: Tensor, size: tuple[int, ...]) -> Tensor:
    return image if tuple(image.shape[2:]) == size else _pooled(image, size)
