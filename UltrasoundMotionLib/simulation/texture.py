"""Smooth random fields that make tissue uneven, as real tissue is."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def random_field(places: np.ndarray, scale: tuple[float, float] | float, rng: np.random.Generator) -> np.ndarray:
    """A Gaussian random field of zero mean and unit variance, sampled at (N, 2) places; `scale` is its correlation length, in the places' unit."""
    scale = np.broadcast_to(np.asarray(scale, dtype=np.float64), (2,))
    steps = places / (scale / 2)
    low = np.floor(steps.min(axis=0)) - 2
    size = (np.ceil(steps.max(axis=0)) - low + 3).astype(int)
    field = ndimage.gaussian_filter(rng.standard_normal(size), 1.5)
    field = (field - field.mean()) / field.std()
    return ndimage.map_coordinates(field, (steps - low).T, order=1, mode="nearest")


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
