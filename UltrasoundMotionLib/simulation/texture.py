"""Painting how strongly tissue scatters: smooth random fields, soft shapes, and the canvas that they are put on."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def random_field(places: np.ndarray, scale: tuple[float, float] | float, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian random field of zero mean and unit variance, sampled at (N, 2) places.

    `scale` is the full width at half maximum of its autocorrelation, in the places' unit.
    """
    scale = np.broadcast_to(np.asarray(scale, dtype=np.float64), (2,))
    steps = places / (scale / 3)
    low = np.floor(steps.min(axis=0)) - 2
    size = (np.ceil(steps.max(axis=0)) - low + 3).astype(int)
    sigma = 3 / (2 * np.sqrt(2 * np.log(2)) * np.sqrt(2))
    field = ndimage.gaussian_filter(rng.standard_normal(size), sigma)
    field *= 2 * np.sqrt(np.pi) * sigma  # unit variance: the kernel's energy is 1 / (4 pi sigma^2)
    return ndimage.map_coordinates(field, (steps - low).T, order=1, mode="nearest")


def random_slice(
    places: np.ndarray, scale: tuple[float, float] | float, elevation_phase: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """The same for structure that also changes with elevation, so that motion out of the plane brings other structure,
    without any shift of it.

    Its autocorrelation in elevation is the cosine of the difference of `elevation_phase` (N,).
    """
    return np.cos(elevation_phase) * random_field(places, scale, rng) + np.sin(elevation_phase) * random_field(
        places, scale, rng
    )


def random_line(places: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """The same along a line: (N,) values at (N,) places."""
    return random_field(np.stack([places, np.zeros_like(places)], axis=1), (scale, 1.0), rng)


def soft_step(distance: np.ndarray, width: float) -> np.ndarray:
    """0 below -width/2, 1 above width/2, smooth between."""
    part = np.clip(distance / width + 0.5, 0, 1)
    return part**2 * (3 - 2 * part)


def ridge(distance: np.ndarray, width: float) -> np.ndarray:
    """1 on a line, falling to 0.6 at `width` from it (a Gaussian)."""
    return np.exp(-0.5 * (distance / width) ** 2)


def ellipse_distance(places: np.ndarray, centre: tuple[float, float], axes: tuple[float, float]) -> np.ndarray:
    """About the distance to an ellipse, negative inside."""
    offset = (places - centre) / axes
    radius = np.hypot(*offset.T)
    gradient = np.hypot(*(offset / axes).T)
    return radius * (radius - 1) / np.maximum(gradient, 1e-9)


class Canvas:
    """Echogenicity being painted.

    Attributes:
        decibels: (N,) relative to speckle of 0 dB.
        blood: (N,) bool.
    """

    def __init__(self, decibels: np.ndarray) -> None:
        self.decibels = decibels
        self.blood = np.zeros(len(decibels), dtype=bool)

    def cover(self, where: np.ndarray, decibels: np.ndarray | float, *, blood: bool = False) -> None:
        """Replaces what lies at `where` (N,) bool by `decibels` (N,) or one number."""
        self.decibels = np.where(where, decibels, self.decibels)
        self.blood = np.where(where, blood, self.blood)

    def brighten(self, where: np.ndarray, decibels: np.ndarray) -> None:
        """Raises `where` to at least `decibels` (N,); what was blood there is tissue now."""
        self.cover(where & (decibels > self.decibels), decibels)
