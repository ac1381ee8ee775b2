"""Composition and inversion of displacements, and the exponential of a velocity.

A displacement u is the mapping p -> p + u(p) from fixed to moving voxels: warped(p) = image(p + u(p)).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.linear_sampling import sample_displaced
from UltrasoundMotionLib.fields.tensor_checks import check_displacement, check_same_shape
from UltrasoundMotionLib.fields.warping import warp


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The displacement of the mapping (id + outer) after (id + inner): p -> inner(p) + outer(p + inner(p)).

    `warp(warp(image, outer), inner)` equals `warp(image, compose(outer, inner))` up to interpolation.

    Eq. 5 of SSMSR ("Test-Time Training for Deformable Multi-Scale Image Registration") writes phi_s = phi_(s/2) o
    residual. Its first line is `compose(outer=phi_(s/2), inner=residual)`: the residual was found between the fixed
    image and the image already warped by phi_(s/2), so this order carries the moving image onto the fixed one. Its last
    line, phi_(s/2)(p) + residual(p + phi_(s/2)(p)), is the other order, `compose(outer=residual, inner=phi_(s/2))`; the
    two agree to first order only.

    Args:
        outer, inner: (B, n, *spatial) in voxels of one grid, channels (x, y[, z]). `outer` is interpolated linearly;
            outside the grid its border value continues.

    Returns:
        (B, n, *spatial). Differentiable for both.

    Raises:
        InputError: the shapes differ or are not those of displacements.
    """
    check_displacement(outer, "outer")
    check_displacement(inner, "inner")
    check_same_shape(outer, inner, "outer", "inner")
    return inner + warp(outer, inner)


def integrate_velocity(velocity: Tensor, steps: int = 7) -> Tensor:
    """Integrates a stationary velocity v for unit time by scaling and squaring: the displacement of exp(v).

    The displacement v / 2^steps is composed with itself `steps` times (Arsigny et al., A log-Euclidean framework for
    statistics on diffeomorphisms, 2006). exp(-v) is its inverse.

    Args:
        velocity: (B, n, *spatial) in voxels per unit time, channels (x, y[, z]).
        steps: number of squarings; 0 gives the velocity itself.

    Returns:
        (B, n, *spatial) displacement in voxels. Differentiable.

    Raises:
        InputError: the shape is not that of a displacement; negative steps.
    """
    check_displacement(velocity, "velocity")
    if steps < 0:
        raise InputError(f"steps: expected 0 or more squarings, got {steps}")
    dtype = torch.promote_types(velocity.dtype, torch.float32)
    displacement = velocity.to(dtype) / 2**steps
    for _ in range(steps):
        displacement = displacement + sample_displaced(displacement, displacement)
    return displacement.to(velocity.dtype)


@dataclass(frozen=True)
class Inversion:
    """The inverse of a displacement, with its residual error.

    Attributes:
        displacement: (B, n, *spatial) in voxels, w with w(p) = -u(p + w(p)).
        maximum_error: largest length of w(p) + u(p + w(p)) in voxels; outside the grid u continues its border value.
        mean_error: its mean.
        iterations: number of iterations done.
    """

    displacement: Tensor
    maximum_error: float
    mean_error: float
    iterations: int


def invert(displacement: Tensor, iterations: int = 50, tolerance: float = 1e-3) -> Inversion:
    """Inverts a displacement by the fixed-point iteration w <- -u(p + w(p)).

    Chen et al., A simple fixed-point approach to invert a deformation field, Medical Physics 2008. It converges where u
    changes by less than one voxel per voxel; the step is damped when the error grows. Check `maximum_error`: where the
    field folds, several points map to one place, and the result is one of them and may be discontinuous.

    Args:
        displacement: (B, n, *spatial) in voxels, channels (x, y[, z]).
        iterations: maximum number of iterations.
        tolerance: stops when the largest error is below this, in voxels.

    Raises:
        InputError: the shape is not that of a displacement.
    """
    check_displacement(displacement)
    field = displacement.detach().to(torch.promote_types(displacement.dtype, torch.float32))
    inverse = -field
    done, damping, maximum = 0, 1.0, float("inf")
    best = (inverse, maximum, maximum)
    while done < iterations:
        done += 1
        residual = inverse + sample_displaced(field, inverse)
        length = residual.square().sum(1).sqrt()
        maximum, mean = float(length.max()), float(length.mean())
        if maximum > best[1]:
            damping = max(damping * 0.7, 0.2)
        else:
            best = (inverse, maximum, mean)
        if maximum < tolerance:
            break
        inverse = inverse - damping * residual
    inverse, maximum, mean = best
    return Inversion(inverse.to(displacement.dtype), maximum, mean, done)
