"""`instance`: no network; a stationary velocity field optimised from coarse to fine for this one pair."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import integrate_velocity, resample_displacement
from UltrasoundMotionLib.registration.elastic_energy import elastic_gradient
from UltrasoundMotionLib.registration.gaussian_smoothing import smooth
from UltrasoundMotionLib.registration.likeness import THICK_SLICES, Likeness, LikenessWeights, scaled_mask
from UltrasoundMotionLib.registration.registry import Report, registration_method
from UltrasoundMotionLib.registration.scale_grids import grid_at
from UltrasoundMotionLib.registration.working_pair import WorkingPair

LARGEST_FIRST_STEP = 0.4


@dataclass(frozen=True)
class InstanceConfig:
    """Settings of `instance`.

    Lengths are in voxels of the scale's images (along the finest axis).

    Attributes:
        scales: how many times coarser than the working grid, from coarse to fine.
        iterations: of each scale.
        control_strides: of each scale, voxels between the velocity's control points.
        likeness: the terms of similarity.
        smoothness, volume: weights of the squared gradient and of the squared divergence of the velocity.
        smoothing: standard deviation of the Gaussian through which every update passes.
        across_slices: the most of it across thick slices, in voxels: neighbouring slices move differently.
        staying_inside: weight of the mean squared distance, in voxels, by which points leave the moving image, where
            nothing says what they are.
        learning_rate: Adam's, about the largest step of an iteration.
        symmetric: also warp the fixed image onto the moving one by the inverse, and take the mean of both losses.
    """

    scales: tuple[float, ...] = (4, 2, 1)
    iterations: tuple[int, ...] = (30, 40, 40)
    control_strides: tuple[float, ...] = (1, 1, 2)
    likeness: LikenessWeights = field(default_factory=LikenessWeights)
    smoothness: float = 0.05
    volume: float = 0.15
    smoothing: float = 1.5
    across_slices: float = 0.5
    staying_inside: float = 0.0
    learning_rate: float = 0.3
    symmetric: bool = True

    def __post_init__(self) -> None:
        if not self.scales or len({len(self.scales), len(self.iterations), len(self.control_strides)}) != 1:
            raise InputError(
                f"instance: scales {self.scales}, iterations {self.iterations} and control_strides {self.control_strides} must have one entry a scale"
            )
        if (
            min(self.scales) <= 0
            or min(self.control_strides) < 1
            or min(self.iterations) < 0
            or sum(self.iterations) == 0
        ):
            raise InputError(
                f"instance: scales {self.scales}, iterations {self.iterations}, control_strides {self.control_strides} are out of range"
            )
        if (
            min(self.smoothness, self.volume, self.smoothing, self.across_slices, self.staying_inside) < 0
            or self.learning_rate <= 0
        ):
            raise InputError(
                "instance: smoothness, volume, smoothing, across_slices and staying_inside must be 0 or more, learning_rate above 0"
            )

    @classmethod
    def for_pair(cls, pair: WorkingPair) -> InstanceConfig:
        """What `register` takes unless told otherwise: `for_same_scan` where the pair is one, else the defaults, which
        suit different subjects.
        """
        return cls.for_same_scan() if pair.same_scan else cls()

    @classmethod
    def for_same_scan(cls) -> InstanceConfig:
        """For two moments of one subject: intensities may be subtracted, tissue moves together over longer ways, also
        into the next slice but not out of the image, and cavities change their volume."""
        return cls(
            likeness=LikenessWeights(mse=8.0),
            smoothness=0.012,
            volume=0.0,
            smoothing=3.0,
            across_slices=3.0,
            staying_inside=10.0,
        )


@registration_method("instance", "velocity field optimised for the pair, coarse to fine; no network", InstanceConfig)
def run_instance(pair: WorkingPair, config: InstanceConfig, report: Report) -> Tensor:
    """The displacement of `optimise_velocity`.

    Returns:
        (1, n, *spatial) displacement in voxels of the pair's grid.
    """
    return displacement_of(optimise_velocity(pair, config, report), pair)


def optimise_velocity(pair: WorkingPair, config: InstanceConfig, report: Report, start: Tensor | None = None) -> Tensor:
    """Minimises likeness of both directions + elastic energy over v, u = exp(v), by Adam at each scale.

    Args:
        start: (1, n, *spatial) velocity in voxels of its grid, which covers the pair's; None: rest.

    Returns:
        (1, n, *control grid of the last scale) velocity in voxels of that grid.
    """
    velocity = start
    done = 0
    for scale, iterations, stride in zip(config.scales, config.iterations, config.control_strides, strict=True):
        if iterations:

            def report_after(iteration: int, message: str, found: Tensor, done: int = done) -> None:
                report(done + iteration, sum(config.iterations), message, lambda: displacement_of(found, pair))

            velocity = _optimise_scale(pair, config, (scale, iterations, stride), velocity, report_after)
            done += iterations
    return velocity


def _optimise_scale(
    pair: WorkingPair,
    config: InstanceConfig,
    stage: tuple[float, int, float],
    velocity: Tensor | None,
    report: Callable[[int, str, Tensor], None],
) -> Tensor:
    """The velocity (1, n, *control grid) in voxels of its control grid after this scale."""
    scale, iterations, stride = stage
    image_size, image_spacing = grid_at(pair, scale)
    control_size, control_spacing = grid_at(pair, scale * stride)
    forward, backward = _likenesses(pair, config, scale, image_size, image_spacing)
    dimension = len(image_spacing)
    unit = torch.tensor(control_spacing, device=pair.fixed.device).view(
        1, -1, *[1] * dimension
    )  # lengths to control voxels
    if velocity is None:
        start = torch.zeros(1, dimension, *control_size, device=pair.fixed.device)
    else:
        start = resample_displacement(velocity, control_size) * unit
    deviations = tuple(
        min(config.smoothing * scale / spacing, config.across_slices if step >= THICK_SLICES else math.inf)
        for spacing, step in zip(control_spacing, pair.spacing, strict=True)
    )
    update = torch.zeros_like(start)
    optimiser = torch.optim.Adam([update], lr=config.learning_rate * scale)
    current = start
    for iteration in range(iterations):
        lengths = current.detach().requires_grad_()
        voxels = lengths / unit
        steps = squarings(voxels)
        displacement = resample_displacement(integrate_velocity(voxels, steps), image_size)
        loss = forward.loss(displacement)
        if backward is not None:
            loss = 0.5 * (loss + backward.loss(resample_displacement(integrate_velocity(-voxels, steps), image_size)))
        if config.staying_inside:
            loss = loss + config.staying_inside * leaving(displacement)
        loss.backward()
        gradient = lengths.grad + elastic_gradient(current, control_spacing, config.smoothness, config.volume)
        update.grad = smooth(gradient, deviations, adjoint=True)
        optimiser.step()
        current = start + smooth(update, deviations)
        report(iteration + 1, f"scale 1/{scale:g}: loss {float(loss.detach()):.4f}", current / unit)
    return current / unit


def squarings(velocity: Tensor, largest_first_step: float = LARGEST_FIRST_STEP) -> int:
    """How many squarings keep the first step of integration below a share of a voxel; at least 2, at most 8."""
    largest = float(velocity.detach().abs().max())
    return min(8, max(2, math.ceil(math.log2(max(largest, 1e-6) / largest_first_step))))


def leaving(displacement: Tensor) -> Tensor:
    """Mean squared distance, in voxels, of the points that a displacement (1, n, *spatial) takes beyond the outermost
    voxels' centres.
    """
    total = displacement.new_zeros(())
    for axis, size in enumerate(displacement.shape[:1:-1]):
        line = torch.arange(size, dtype=displacement.dtype, device=displacement.device)
        moved = displacement[:, axis] + line.view(-1, *[1] * axis)
        total = total + (moved - moved.clamp(0, size - 1)).square().mean()
    return total


def displacement_of(velocity: Tensor, pair: WorkingPair) -> Tensor:
    """exp(v) of a velocity in voxels of its own grid, (1, n, *spatial) in voxels of the pair's."""
    return resample_displacement(
        integrate_velocity(velocity, squarings(velocity, LARGEST_FIRST_STEP / 4)), tuple(pair.fixed.shape[2:])
    )


def _likenesses(
    pair: WorkingPair, config: InstanceConfig, scale: float, size: tuple[int, ...], spacing: tuple[float, ...]
) -> tuple[Likeness, Likeness | None]:
    fixed, moving = (_image_at(image, size) for image in (pair.fixed, pair.moving))
    fixed_mask, moving_mask = (scaled_mask(mask, size) for mask in (pair.fixed_mask, pair.moving_mask))
    maps = None
    if config.likeness.maps and pair.fixed_maps is not None and pair.moving_maps is not None:
        maps = tuple(_image_at(one, size) for one in (pair.fixed_maps, pair.moving_maps))
    forward = Likeness(fixed, moving, fixed_mask, config.likeness, spacing, maps=maps)
    if not config.symmetric:
        return forward, None
    return forward, Likeness(moving, fixed, moving_mask, config.likeness, spacing, maps=maps and maps[::-1])


def _image_at(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """Smoothed by half a coarse voxel and resampled."""
    shrink = [old / new for old, new in zip(image.shape[:1:-1], size[::-1], strict=True)]
    if all(one == 1 for one in shrink):
        return image
    smoothed = smooth(image, [0.5 * one if one > 1 else 0.0 for one in shrink])
    return functional.interpolate(
        smoothed, size=size, mode="bilinear" if len(size) == 2 else "trilinear", align_corners=False
    )
