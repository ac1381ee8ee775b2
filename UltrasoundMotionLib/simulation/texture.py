"""Painting of echogenicity: smooth random fields, soft shapes, and the canvas."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def random_field(positions: np.ndarray, scale: tuple[float, float] | float, rng: np.random.Generator) -> np.ndarray:
    """Samples a Gaussian random field of zero mean and unit variance at (N, 2) positions.

    `scale` is the full width at half maximum of its autocorrelation, in the unit of the positions.
    """
    steps = positions / (np.broadcast_to(np.asarray(scale, dtype=np.float64), (2,)) / 3)
    low = np.floor(steps.min(axis=0)) - 2
    size = (np.ceil(steps.max(axis=0)) - low + 3).astype(int)
    sigma = 3 / (2 * np.sqrt(2 * np.log(2)) * np.sqrt(2))
    field = ndimage.gaussian_filter(rng.standard_normal(size), sigma)
    field *= 2 * np.sqrt(np.pi) * sigma  # unit variance: the kernel's energy is 1 / (4 pi sigma^2)
    return ndimage.map_coordinates(field, (steps - low).T, order=1, mode="nearest")


def random_slice(
    positions: np.ndarray, scale: tuple[float, float] | float, elevation_phase: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Samples a random field that also varies with elevation, so that out-of-plane motion changes it without a shift.

    Its autocorrelation in elevation is the cosine of the difference of `elevation_phase` (N,). Other arguments as
    `random_field`.
    """
    return np.cos(elevation_phase) * random_field(positions, scale, rng) + np.sin(elevation_phase) * random_field(
        positions, scale, rng
    )


def random_line(positions: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Samples a random field along a line: (N,) values at (N,) positions."""
    return random_field(np.stack([positions, np.zeros_like(positions)], axis=1), (scale, 1.0), rng)


def soft_step(distance: np.ndarray, width: float) -> np.ndarray:
    """Returns 0 below -width/2, 1 above width/2, with a smooth transition."""
    part = np.clip(distance / width + 0.5, 0, 1)
    return part**2 * (3 - 2 * part)


def ridge(distance: np.ndarray, width: float) -> np.ndarray:
    """Returns a Gaussian profile: 1 at distance 0, 0.6 at `width`."""
    return np.exp(-0.5 * (distance / width) ** 2)


def ellipse_distance(positions: np.ndarray, centre: tuple[float, float], axes: tuple[float, float]) -> np.ndarray:
    """Approximates the distance to an ellipse, negative inside."""
    offset = (positions - centre) / axes
    radius = np.hypot(*offset.T)
    gradient = np.hypot(*(offset / axes).T)
    return radius * (radius - 1) / np.maximum(gradient, 1e-9)


class Canvas:
    """The echogenicity of N scatterers, painted layer by layer.

    Attributes:
        decibels: (N,) relative to speckle of 0 dB.
        blood: (N,) bool, scatterers in blood.
    """

    def __init__(self, decibels: np.ndarray) -> None:
        self.decibels = decibels
        self.blood = np.zeros(len(decibels), dtype=bool)

    def cover(self, where: np.ndarray, decibels: np.ndarray | float, *, blood: bool = False) -> None:
        """Sets scatterers `where` (N,) bool to `decibels` (N,) or one number."""
        self.decibels = np.where(where, decibels, self.decibels)
        self.blood = np.where(where, blood, self.blood)

    def brighten(self, where: np.ndarray, decibels: np.ndarray) -> None:
        """Raises scatterers `where` to at least `decibels` (N,); blood that is raised becomes tissue."""
        self.cover(where & (decibels > self.decibels), decibels)
