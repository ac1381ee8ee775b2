"""The optimisation of `instance`: a stationary velocity field, from coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.fields import compose, integrate_velocity, resample_displacement, resampling_adjoint, warp
from UltrasoundMotionLib.registration.elastic_energy import elastic_gradient
from UltrasoundMotionLib.registration.gaussian_smoothing import smooth
from UltrasoundMotionLib.registration.likeness import Likeness, scaled_mask
from UltrasoundMotionLib.registration.likeness_weights import THICK_SLICES
from UltrasoundMotionLib.registration.methods.instance import InstanceSettings
from UltrasoundMotionLib.registration.registry import Report
from UltrasoundMotionLib.registration.scale_grids import grid_at
from UltrasoundMotionLib.registration.working_pair import WorkingPair

_LARGEST_FIRST_STEP = 0.4
_ADAM_EPSILON = 1e-8


def optimise_velocity(
    pair: WorkingPair, settings: InstanceSettings, report: Report, start: Tensor | None = None
) -> Tensor:
    """Minimises dissimilarity in both directions and elastic energy over v, u = exp(v), by Adam at each scale.

    Args:
        start: (1, n, *spatial) velocity in voxels of its grid, which covers the pair's; None: zero.

    Returns:
        (1, n, *control grid of the last scale) velocity in voxels of that grid.
    """
    velocity = start
    done = 0
    for scale, iterations, stride in zip(settings.scales, settings.iterations, settings.control_strides, strict=True):
        if iterations:

            def report_after(iteration: int, message: str, found: Tensor, done: int = done) -> None:
                report(done + iteration, sum(settings.iterations), message, lambda: displacement_of(found, pair))

            velocity = _optimise_scale(pair, settings, (scale, iterations, stride), velocity, report_after)
            done += iterations
    assert velocity is not None  # the settings have an iteration at least
    return velocity


def _optimise_scale(
    pair: WorkingPair,
    settings: InstanceSettings,
    stage: tuple[float, int, float],
    velocity: Tensor | None,
    report: Callable[[int, str, Tensor], None],
) -> Tensor:
    """Optimises at one scale: (its factor, iterations, control stride).

    Returns:
        The velocity (1, n, *control grid) in voxels of its control grid.
    """
    scale, iterations, stride = stage
    image_size, image_spacing = grid_at(pair, scale)
    control_size, control_spacing = grid_at(pair, scale * stride)
    likenesses = _likenesses(pair, settings, scale, image_size, image_spacing)
    # the brighter image is first the fixed one, so that exchanging the images gives the inverse
    first_backward = bool(pair.moving.sum() > pair.fixed.sum())
    dimension = len(image_spacing)
    # the lengths of control voxels
    unit = torch.tensor(control_spacing, device=pair.fixed.device).view(1, -1, *[1] * dimension)
    if velocity is None:
        start = torch.zeros(1, dimension, *control_size, device=pair.fixed.device)
    else:
        start = resample_displacement(velocity, control_size) * unit
    deviations = tuple(
        min(settings.smoothing * scale / spacing, settings.across_slices if step >= THICK_SLICES else math.inf)
        for spacing, step in zip(control_spacing, pair.spacing, strict=True)
    )
    optimiser = _Adam(start, settings.learning_rate * scale)
    current = start
    for iteration in range(iterations):
        if settings.alternating:
            backward = first_backward == (iteration % 2 == 0)
            loss, gradient = _of_one_direction(
                current / unit, likenesses[int(backward)], settings.staying_inside, image_size, backward=backward
            )
        else:
            loss, gradient = _loss_and_gradient(current / unit, likenesses, settings.staying_inside, image_size)
        gradient = gradient / unit + elastic_gradient(current, control_spacing, settings.smoothness, settings.volume)
        update = optimiser.step(smooth(gradient, deviations, adjoint=True))
        current = start + smooth(update, deviations)
        report(iteration + 1, f"scale 1/{scale:g}: loss {loss:.4f}", current / unit)
    return current / unit


class _Adam:
    """Adam (Kingma and Ba, 2015) of one tensor, from 0: PyTorch's arithmetic without its compiler, which the first step
    of `torch.optim` imports and which takes longer than a short registration.
    """

    def __init__(self, like: Tensor, learning_rate: float, decay: tuple[float, float] = (0.9, 0.999)) -> None:
        self._value, self._mean, self._square = (torch.zeros_like(like) for _ in range(3))
        self._learning_rate, self._decay, self._steps = learning_rate, decay, 0

    def step(self, gradient: Tensor) -> Tensor:
        """Takes a step down the gradient and returns the tensor."""
        self._steps += 1
        first, second = self._decay
        self._mean.lerp_(gradient, 1 - first)
        self._square.mul_(second).addcmul_(gradient, gradient, value=1 - second)
        spread = self._square.sqrt().div_(math.sqrt(1 - second**self._steps)).add_(_ADAM_EPSILON)
        self._value.addcdiv_(self._mean, spread, value=-self._learning_rate / (1 - first**self._steps))
        return self._value


def _of_one_direction(
    velocity: Tensor, likeness: Likeness, staying_inside: float, image_size: tuple[int, ...], *, backward: bool
) -> tuple[float, Tensor]:
    """Computes the loss of exp(v), or of exp(-v), and its derivative for v.

    The mean of the two is what `_loss_and_gradient` gives for both directions at once.
    """
    if not backward:
        return _loss_and_gradient(velocity, (likeness,), 2 * staying_inside, image_size)
    loss, gradient = _loss_and_gradient(-velocity, (likeness,), 0.0, image_size)
    return loss, gradient.neg_()


def _loss_and_gradient(
    velocity: Tensor, likenesses: Sequence[Likeness], staying_inside: float, image_size: tuple[int, ...]
) -> tuple[float, Tensor]:
    """Computes the loss of exp(v) and exp(-v), and its derivative for v.

    The derivative for the velocity of a flow is that for the place where the flow ends, carried back along the flow
    and averaged over the way (Ashburner, DARTEL, NeuroImage 2007, whose sum over the steps is exact). Here it is
    carried back half the way, once: the average's middle, without the change of volume. The steps need no graph, which
    takes most of the time otherwise, and the registrations that were compared ended in the same overlap.

    Args:
        velocity: (1, n, *control grid) in voxels of that grid.
        likenesses: of the displacements (exp(v), exp(-v)), in this order and as many as their batches hold: one or two.

    Returns:
        The loss, and (1, n, *control grid).
    """
    directions = sum(one.batch for one in likenesses)
    half = integrate_velocity(torch.cat([velocity, -velocity]) / 2, squarings(velocity) - 1)
    displacements = resample_displacement(compose(half[:directions], half[:directions]), image_size)
    loss, forces, first = 0.0, [], 0
    for likeness in likenesses:
        share, last = likeness.batch / directions, first + likeness.batch
        value, force = likeness.loss_and_force(displacements[first:last])
        loss, first = loss + share * float(value), last
        forces.append(force.mul_(share))
    if staying_inside:
        beyond = _beyond(displacements[:1])
        share = staying_inside / beyond[:, 0].numel()
        loss += share * float(beyond.square().sum())
        forces[0][:1].add_(beyond, alpha=2 * share)
    force = resampling_adjoint(torch.cat(forces), tuple(velocity.shape[2:]))
    carried = warp(force, half.flip(0)[:directions])
    return loss, carried[:1] - carried[1:] if directions == 2 else carried


def squarings(velocity: Tensor, largest_first_step: float = _LARGEST_FIRST_STEP) -> int:
    """The number of squarings that keeps the first step of integration below a share of a voxel; from 2 to 8."""
    largest = float(velocity.detach().abs().max())
    return min(8, max(2, math.ceil(math.log2(max(largest, 1e-6) / largest_first_step))))


def leaving(displacement: Tensor) -> Tensor:
    """Mean squared distance, in voxels, by which a displacement (1, n, *spatial) leaves the centres of the outermost
    voxels.
    """
    return _beyond(displacement).square().sum(1).mean()


def _beyond(displacement: Tensor) -> Tensor:
    """Returns the vector from the nearest point between the centres of the outermost voxels, (1, n, *spatial)."""
    beyond = []
    for axis, size in enumerate(displacement.shape[:1:-1]):
        line = torch.arange(size, dtype=displacement.dtype, device=displacement.device)
        moved = displacement[:, axis] + line.view(-1, *[1] * axis)
        beyond.append(moved - moved.clamp(0, size - 1))
    return torch.stack(beyond, dim=1)


def displacement_of(velocity: Tensor, pair: WorkingPair) -> Tensor:
    """The displacement exp(v), (1, n, *spatial) in voxels of the pair's grid, of a velocity in voxels of its own."""
    return resample_displacement(
        integrate_velocity(velocity, squarings(velocity, _LARGEST_FIRST_STEP / 4)), tuple(pair.fixed.shape[2:])
    )


def _likenesses(
    pair: WorkingPair, settings: InstanceSettings, scale: float, size: tuple[int, ...], spacing: tuple[float, ...]
) -> tuple[Likeness, ...]:
    """The likeness of both directions; together where they are taken at once and no mask makes them differ."""
    fixed, moving = (_image_at(image, size) for image in (pair.fixed, pair.moving))
    fixed_mask, moving_mask = (scaled_mask(mask, size) for mask in (pair.fixed_mask, pair.moving_mask))
    maps = backward_maps = None
    if settings.likeness.maps and pair.fixed_maps is not None and pair.moving_maps is not None:
        maps = _image_at(pair.fixed_maps, size), _image_at(pair.moving_maps, size)
        backward_maps = maps[1], maps[0]
    if settings.symmetric and not settings.alternating and fixed_mask is None and moving_mask is None:
        both = torch.cat([fixed, moving])
        both_maps = None if maps is None else (torch.cat(maps), torch.cat(maps[::-1]))
        return (Likeness(both, both.flip(0), None, settings.likeness, spacing, maps=both_maps),)
    forward = Likeness(fixed, moving, fixed_mask, settings.likeness, spacing, maps=maps)
    if not settings.symmetric:
        return (forward,)
    return forward, Likeness(moving, fixed, moving_mask, settings.likeness, spacing, maps=backward_maps)


def _image_at(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """An image smoothed by half a coarse voxel and resampled to a size."""
    shrink = [old / new for old, new in zip(image.shape[:1:-1], size[::-1], strict=True)]
    if all(one == 1 for one in shrink):
        return image
    smoothed = smooth(image, [0.5 * one if one > 1 else 0.0 for one in shrink])
    return functional.interpolate(
        smoothed, size=size, mode="bilinear" if len(size) == 2 else "trilinear", align_corners=False
    )
