"""LCC-Demons: diffeomorphic registration by the local correlation coefficient (Lorenzi et al., NeuroImage 2013).

Written from the paper and its authors' code (Inria's LCC-LogDemons), with the code's formulas and default settings.
A baseline of the semantically guided paper's Table 2; not a method of `register`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import integrate_velocity, resample_displacement, warp
from UltrasoundMotionLib.fields.jacobian import spatial_gradient
from UltrasoundMotionLib.registration.gaussian_smoothing import smooth

_AIR = 0.07
"""Share of the range of local means up to which a voxel is air: it takes the least value above (the code's boundary
check), so that nothing is divided by almost 0.
"""
_TINY = 1e-6
_SQUARINGS = 5
"""Of the half velocities, a few voxels long, in each update; the result is integrated by the usual number."""


@dataclass(frozen=True)
class LccDemonsSettings:
    """Settings, by default those of the authors' program.

    Attributes:
        iterations: on each level, from coarse to fine; each level halves the voxels of the one before.
        similarity_mm: standard deviation of the local averages.
        velocity_mm: standard deviation of the smoothing of the velocity after every update.
        trade_off: sigma_I: larger values take smaller steps.
    """

    iterations: tuple[int, ...] = (30, 20, 10)
    similarity_mm: float = 3.0
    velocity_mm: float = 1.5
    trade_off: float = 0.15

    def __post_init__(self) -> None:
        if not self.iterations or min(self.iterations) < 0 or min(self.similarity_mm, self.trade_off) <= 0:
            raise InputError(
                "lcc-demons: one level or more of 0 iterations or more, and similarity_mm and trade_off above 0 are "
                f"needed, got {self}"
            )


DEFAULT_SETTINGS = LccDemonsSettings()


@torch.no_grad()
def lcc_demons(
    fixed: Tensor, moving: Tensor, spacing_mm: Sequence[float], settings: LccDemonsSettings = DEFAULT_SETTINGS
) -> Tensor:
    """Registers two images of one grid.

    Args:
        fixed, moving: (1, 1, *spatial), above 0 where there is tissue.
        spacing_mm: of the voxels, (x, y[, z]).

    Returns:
        The displacement (1, n, *spatial) float32 in voxels, exp of a stationary velocity: fixed(p) = moving(p + u(p)).

    Raises:
        InputError: images of different shapes.
    """
    if fixed.shape != moving.shape:
        raise InputError(f"lcc-demons: images of one shape are needed, got {tuple(fixed.shape)}, {tuple(moving.shape)}")
    fixed, moving = fixed.float(), moving.float()
    spatial = tuple(fixed.shape[2:])
    velocity = fixed.new_zeros(1, len(spatial), *spatial)
    for level, count in enumerate(settings.iterations, start=1 - len(settings.iterations)):
        size = tuple(max(1, round(axis * 2**level)) for axis in spatial)
        voxel_mm = [
            float(mm) * full / coarse
            for mm, full, coarse in zip(spacing_mm, reversed(spatial), reversed(size), strict=True)
        ]
        velocity = resample_displacement(velocity, size)
        images = [_at_size(image, size) for image in (fixed, moving)]
        for _ in range(count):
            velocity = velocity + _update(images[0], images[1], velocity, voxel_mm, settings)
            velocity = smooth(velocity, [settings.velocity_mm / mm for mm in voxel_mm])
    return integrate_velocity(resample_displacement(velocity, spatial))


def _at_size(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """Returns an image with fewer voxels over the same region, smoothed by half a new voxel."""
    if tuple(image.shape[2:]) == size:
        return image
    factors = [old / new for old, new in zip(reversed(image.shape[2:]), reversed(size), strict=True)]
    mode = "bilinear" if len(size) == 2 else "trilinear"
    return functional.interpolate(smooth(image, [one / 2 for one in factors]), size, mode=mode, align_corners=False)


def _update(
    fixed: Tensor, moving: Tensor, velocity: Tensor, voxel_mm: Sequence[float], settings: LccDemonsSettings
) -> Tensor:
    """Returns the step (1, n, *spatial) in voxels that raises the local correlation coefficient.

    Both images are warped half the way, so that the step is symmetric.
    """
    warped_fixed, warped_moving = (
        warp(fixed, integrate_velocity(-velocity / 2, _SQUARINGS)),
        warp(moving, integrate_velocity(velocity / 2, _SQUARINGS)),
    )
    deviations = [settings.similarity_mm / mm for mm in voxel_mm]

    def mean(values: Tensor) -> Tensor:
        return smooth(values, deviations)

    fixed_slope, moving_slope = (
        spatial_gradient(image, voxel_mm)[:, 0, 0][None] for image in (warped_fixed, warped_moving)
    )
    fixed_power, moving_power = (_without_air(mean(image.square())) for image in (warped_fixed, warped_moving))
    scale = _without_air((fixed_power * moving_power).sqrt())
    correlation = _without_air(mean(warped_fixed * warped_moving)) / scale
    slope = (
        mean(warped_fixed * moving_slope - warped_moving * fixed_slope) / scale
        + mean(warped_fixed * fixed_slope) / fixed_power
        - mean(warped_moving * moving_slope) / moving_power
    )
    step_mm = slope / (slope.square().sum(1, keepdim=True) + settings.trade_off / correlation.square().clamp(min=_TINY))
    return step_mm / step_mm.new_tensor(list(voxel_mm)).view(1, -1, *[1] * (step_mm.ndim - 2))


def _without_air(means: Tensor) -> Tensor:
    """Returns local means whose smallest values, up to 7 % of their range, are replaced by the least of the others."""
    lowest, highest = means.amin(), means.amax()
    tissue = means > lowest + _AIR * (highest - lowest)
    least = means[tissue].amin() if tissue.any() else means.new_tensor(1.0)
    return torch.where(tissue, means, least).clamp(min=_TINY)
