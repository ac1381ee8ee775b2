"""Poly-affine displacements: affine around every point of a lattice, the maps blended as velocities without folds."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import integrate_velocity
from UltrasoundMotionLib.fields.tensor_checks import check_displacement

_SQUARE_ROOTS = 5
_ROOT_ITERATIONS = 8
_SERIES_TERMS = 8
_LEAST_STRETCH = 0.1


@dataclass(frozen=True)
class PolyAffineConfig:
    """Settings of `poly_affine`.

    Attributes:
        spacing: voxels between the points of the lattice.
        width: standard deviation of the Gaussian around each, in spacings, for fitting and for blending.
        squarings: number of squarings of the integration.
    """

    spacing: int = 4
    width: float = 0.6
    squarings: int = 7

    def __post_init__(self) -> None:
        if self.spacing < 1 or self.width <= 0 or self.squarings < 0:
            raise InputError(f"poly-affine: spacing and width must be above 0 and squarings 0 or more, got {self}")


def poly_affine(displacement: Tensor, config: PolyAffineConfig | None = None) -> Tensor:
    """Makes a displacement poly-affine: the post-processing that Sec. 3.1.4 of Ha et al. (Sensors 2020) only names.

    Here: Arsigny et al., Polyrigid and polyaffine transformations (MedIA 2005) and their log-Euclidean form (2009).
    Around each point of a lattice an affine map is fitted to the displacement by least squares with Gaussian weights;
    the logarithms of the maps are velocities, which the same weights blend, and the blended velocity is integrated.
    A fitted map that squeezes an axis below a tenth or inverts it is moved towards a translation until it does not,
    since only then it has a logarithm that moves little.

    Args:
        displacement: (B, n, *spatial) in voxels, channels (x, y[, z]).

    Returns:
        The same shape, in float32 or the input's dtype where it is finer. It is the flow of a smooth velocity: its
        Jacobian is positive, except for sampling errors.

    Raises:
        InputError: not a displacement.
    """
    check_displacement(displacement)
    config = config or PolyAffineConfig()
    field = displacement.detach().double()
    n, spatial = field.shape[1], field.shape[2:]
    windows = [_Window.of(size, config, field.device) for size in spatial]
    velocity = _blended(_logarithms(*_fitted(field, windows)), windows, n)
    dtype = torch.promote_types(displacement.dtype, torch.float32)
    return integrate_velocity(velocity.to(dtype), config.squarings)


@dataclass(frozen=True, eq=False)
class _Window:
    """Gaussian weights (points, size) along one axis, and the distance from each point, in voxels."""

    weight: Tensor
    distance: Tensor

    @classmethod
    def of(cls, size: int, config: PolyAffineConfig, device: torch.device) -> _Window:
        """Makes the window of an axis of `size` voxels, with a point every `config.spacing` of them."""
        count = max(1, -(-(size - 1) // config.spacing) + 1)
        places = (
            torch.linspace(0, size - 1, count, dtype=torch.float64, device=device)
            if count > 1
            else torch.zeros(1, device=device).double()
        )
        distance = torch.arange(size, device=device, dtype=torch.float64) - places[:, None]
        return cls(torch.exp(-0.5 * (distance / (config.width * config.spacing)).square()), distance)

    def power(self, exponent: int) -> Tensor:
        """Weight times the distance to a power."""
        return self.weight * self.distance**exponent


def _moment(values: Tensor, windows: list[_Window], powers: list[int]) -> Tensor:
    """Weighted sum (..., *points) of values (..., *spatial) times the distance along each axis to a power."""
    for axis, (window, power) in enumerate(zip(windows, powers, strict=True), start=-len(windows)):
        values = (values.movedim(axis, -1) @ window.power(power).T).movedim(-1, axis)
    return values


def _fitted(field: Tensor, windows: list[_Window]) -> tuple[Tensor, Tensor]:
    """Fits u(x) ~ A (x - point) + t around each point: (B, *points, n, n) and (B, *points, n)."""
    n = field.shape[1]
    one = torch.ones(1, 1, *field.shape[2:], dtype=field.dtype, device=field.device)
    # row 0 is the constant, row 1 + i the distance along channel i, which is spatial axis n - 1 - i
    powers = [[0] * n] + [[int(axis == n - 1 - channel) for axis in range(n)] for channel in range(n)]
    squares = [
        [_moment(one, windows, [a + b for a, b in zip(first, second, strict=True)]) for second in powers]
        for first in powers
    ]
    normal = torch.stack([torch.stack(row, dim=-1) for row in squares], dim=-2)[0, 0]
    right = torch.stack([_moment(field, windows, power) for power in powers], dim=-1).movedim(1, -1)
    ridge = (
        1e-9
        * torch.eye(n + 1, dtype=field.dtype, device=field.device)
        * normal.diagonal(dim1=-2, dim2=-1).amax(-1)[..., None, None]
    )
    solution = torch.linalg.solve((normal + ridge)[None], right)
    return solution[..., 1:, :].transpose(-1, -2), solution[..., 0, :]


def _logarithms(linear: Tensor, shift: Tensor) -> Tensor:
    """Velocities L (x - point) + l, (..., n, n + 1), whose flow for unit time is x -> x + A (x - point) + t."""
    n = linear.shape[-1]
    least = torch.linalg.eigvalsh((linear + linear.transpose(-1, -2)) / 2)[..., :1, None]
    linear = linear * torch.where(least < _LEAST_STRETCH - 1, (_LEAST_STRETCH - 1) / least, torch.ones_like(least))
    identity = torch.eye(n + 1, dtype=linear.dtype, device=linear.device)
    matrix = identity.expand(*linear.shape[:-2], n + 1, n + 1).clone()
    matrix[..., :n, :n] += linear
    matrix[..., :n, n] = shift
    for _ in range(_SQUARE_ROOTS):
        matrix = _square_root(matrix)
    small, power, total = matrix - identity, identity, torch.zeros_like(matrix)
    for term in range(1, _SERIES_TERMS + 1):
        power = power @ small
        total = total + power * ((-1) ** (term + 1) / term)
    return (total * 2**_SQUARE_ROOTS)[..., :n, :]


def _square_root(matrix: Tensor) -> Tensor:
    """The square root of matrices, by the iteration of Denman and Beavers."""
    root, inverse = matrix, torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device).expand_as(matrix)
    for _ in range(_ROOT_ITERATIONS):
        root, inverse = (root + torch.linalg.inv(inverse)) / 2, (inverse + torch.linalg.inv(root)) / 2
    return root


def _blended(logarithms: Tensor, windows: list[_Window], n: int) -> Tensor:
    """The mean (B, n, *spatial) of the points' velocities, weighted by their Gaussians."""

    def spread(values: Tensor, powers: list[int]) -> Tensor:
        for axis, (window, power) in enumerate(zip(windows, powers, strict=True), start=-n):
            values = (values.movedim(axis, -1) @ window.power(power)).movedim(-1, axis)
        return values

    velocities = logarithms.movedim((-2, -1), (1, 2))
    total = spread(velocities[:, :, n], [0] * n)
    for channel in range(n):
        total = total + spread(velocities[:, :, channel], [int(axis == n - 1 - channel) for axis in range(n)])
    return total / spread(torch.ones_like(velocities[:1, :1, 0]), [0] * n)
