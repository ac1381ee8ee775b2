"""A rigid start found among all rotations: masked correlation over all shifts, by Fourier transforms, of coarse images.

Padfield, Masked object registration in the Fourier domain, IEEE TIP 2012. The best rotations are then refined by mutual
information.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.registration.coarse_images import CoarseImage, sampled

_LEAST_OVERLAP = 0.5
"""Least share of the smaller image's known voxels that must meet known ones."""

_PLANE_STEP_DEG = 20.0
_COVER = 300
"""Rotations that cover all of them in 3D: none is further than about 33 degrees from one of these."""

_LEAST_VARIANCE = 1e-4


@dataclass(frozen=True, eq=False)
class RigidCandidate:
    """A rotation and the shift at which coarse images correlate best.

    Attributes:
        matrix: (n+1, n+1), from fixed to moving points, LPS mm.
        correlation: -1 to 1.
        degrees: of the rotation.
    """

    matrix: np.ndarray
    correlation: float
    degrees: float


def plane_rotations(axis: np.ndarray | None = None, step_deg: float = _PLANE_STEP_DEG) -> list[np.ndarray]:
    """Returns rotations by every 20 degrees or another step: of the plane, or around an axis in 3D; none first."""
    turns = []
    for degrees in np.arange(0, 360, step_deg):
        cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turns.append(
            np.array([[cosine, -sine], [sine, cosine]]) if axis is None else rotation_about(axis, float(degrees))
        )
    return turns


def rotation_about(axis: np.ndarray, degrees: float) -> np.ndarray:
    """Returns the rotation matrix (3, 3) about an axis (3,)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_rotvec(np.radians(degrees) * axis / np.linalg.norm(axis)).as_matrix()


def all_rotations(count: int = _COVER) -> list[np.ndarray]:
    """Returns an even cover of the rotations in 3D by the identity and `count` others.

    Alexa, Super-Fibonacci spirals: fast, low-discrepancy sampling of SO(3), CVPR 2022.
    """
    from scipy.spatial.transform import Rotation

    share = (np.arange(count) + 0.5) / count
    first = 2 * np.pi * share * count / np.sqrt(2)
    second = 2 * np.pi * share * count / 1.533751168755204288118041
    low, high = np.sqrt(share), np.sqrt(1 - share)
    quaternions = np.stack(
        [low * np.sin(first), low * np.cos(first), high * np.sin(second), high * np.cos(second)], axis=1
    )
    return [np.eye(3), *Rotation.from_quat(quaternions).as_matrix()]


def angle_deg(rotation: np.ndarray) -> float:
    """Returns the angle of a rotation matrix in 2D or 3D, 0 to 180."""
    cosine = rotation[0, 0] if len(rotation) == 2 else (np.trace(rotation) - 1) / 2
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def best_shifts(fixed: CoarseImage, moving: CoarseImage, rotations: list[np.ndarray]) -> list[RigidCandidate]:
    """Finds the best shift for each rotation, the best rotation first.

    Args:
        fixed, moving: with voxels of one size.
        rotations: matrices from fixed to moving directions, LPS.
    """
    from scipy.fft import next_fast_len

    step, dimension = fixed.grid.spacing_mm[0], fixed.grid.dimension
    centres = [one.grid.middle_mm for one in (fixed, moving)]
    size = _rotated_size(fixed.grid, moving.grid, rotations)
    whole = tuple(next_fast_len(one + other - 1, real=True) for one, other in zip(fixed.grid.shape, size, strict=True))
    fixed_parts = [_transform(part, whole) for part in _parts(fixed.values, fixed.known)]
    half = (np.array(size[::-1]) - 1) / 2 * step
    lines = [np.arange(one) * step for one in size]
    offsets = np.stack(np.meshgrid(*lines, indexing="ij")[::-1], axis=-1) - half
    found = []
    for rotation in rotations:
        turned = rotation @ fixed.grid.direction
        values, known = sampled(moving.values, moving.known, moving.grid, offsets @ turned.T + centres[1])
        correlation, shift = _best_shift(fixed_parts, values, known, whole, int(fixed.known.sum()))
        # fixed voxel p lies on voxel p - shift of the turned moving image
        away = np.array(shift[::-1]) * step
        corner = np.array(fixed.grid.origin_mm) + fixed.grid.direction @ away
        matrix = np.eye(dimension + 1)
        matrix[:-1, :-1] = rotation
        matrix[:-1, -1] = centres[1] - turned @ half - rotation @ corner
        found.append(RigidCandidate(matrix, correlation, angle_deg(rotation)))
    return sorted(found, key=lambda one: -one.correlation)


def _rotated_size(fixed: ImageGrid, moving: ImageGrid, rotations: list[np.ndarray]) -> tuple[int, ...]:
    """Returns the array size along the fixed axes that holds the moving image in every rotation."""
    extent = np.array(moving.shape[::-1], dtype=float)
    most = np.ones(moving.dimension)
    for rotation in rotations:
        most = np.maximum(most, np.abs((rotation @ fixed.direction).T @ moving.direction) @ extent)
    return tuple(int(np.ceil(one - 1e-6)) for one in most[::-1])


def _parts(values: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    inside = values * known
    return inside, inside * inside, known.astype(np.float32)


def _transform(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    from scipy.fft import rfftn

    return rfftn(array.astype(np.float32), shape)


def _best_shift(
    fixed_parts: list[np.ndarray], values: np.ndarray, known: np.ndarray, whole: tuple[int, ...], fixed_count: int
) -> tuple[float, tuple[int, ...]]:
    """Returns the best correlation over all shifts, and the shift in voxels, in array order."""
    from scipy.fft import irfftn

    image, squares, ones = (np.conj(_transform(part, whole)) for part in _parts(values, known))
    fixed, fixed_squares, fixed_ones = fixed_parts

    def together(one: np.ndarray, other: np.ndarray) -> np.ndarray:
        return irfftn(one * other, whole)

    count = together(fixed_ones, ones)
    enough = count >= _LEAST_OVERLAP * min(fixed_count, int(known.sum()))
    count = np.maximum(count, 1)
    fixed_sum, moving_sum = together(fixed, ones), together(fixed_ones, image)
    covariance = together(fixed, image) - fixed_sum * moving_sum / count
    fixed_variance = together(fixed_squares, ones) - fixed_sum**2 / count
    moving_variance = together(fixed_ones, squares) - moving_sum**2 / count
    product = fixed_variance * moving_variance
    usable = enough & (np.minimum(fixed_variance, moving_variance) > _LEAST_VARIANCE * count)
    if not usable.any():
        return -1.0, (0,) * values.ndim
    correlation = np.where(usable, covariance / np.sqrt(np.where(usable, product, 1)), -1)
    place = np.unravel_index(int(np.argmax(correlation)), correlation.shape)
    shift = tuple(
        int(one) if one < size - other + 1 else int(one) - size
        for one, size, other in zip(place, whole, values.shape, strict=True)
    )
    return float(correlation[place]), shift
