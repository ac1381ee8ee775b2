"""Frames of made-up texture for `warped_clips`: sums of random cosines, and speckle by its statistics alone.

Other simulators make their ultrasound so; neither has scatterers or a beam.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from UltrasoundMotionLib.lab.training.data.warped_clips import RealFrame

_SIDE = 320


def cosine_texture(rng: np.random.Generator) -> RealFrame:
    """Draws the magnitude of a sum of random cosines of one band, on uneven brightness."""
    count, middle = int(rng.integers(40, 160)), rng.uniform(14, 60)
    frequency = middle * np.exp(rng.normal(0, rng.uniform(0.1, 0.5), count))
    stretch = np.exp(rng.uniform(-0.8, 0.8))
    angle = rng.uniform(0, 2 * np.pi, count)
    place = np.arange(_SIDE) / _SIDE
    along = np.exp(2j * np.pi * frequency[:, None] * np.cos(angle)[:, None] * stretch * place)
    across = np.exp(2j * np.pi * frequency[:, None] * np.sin(angle)[:, None] / stretch * place)
    weight = rng.standard_normal(count) + 1j * rng.standard_normal(count)
    wave = np.einsum("k,ky,kx->yx", weight, across, along)
    return _frame(np.abs(wave.real if rng.random() < 0.5 else wave), rng, "cosine texture")


def statistical_texture(rng: np.random.Generator) -> RealFrame:
    """Draws Rayleigh or K-distributed speckle of a drawn grain, on uneven brightness."""
    grain = rng.uniform(0.6, 3.5, 2)
    parts = [ndimage.gaussian_filter(rng.standard_normal((_SIDE, _SIDE)), grain) for _ in range(2)]
    speckle = np.hypot(*parts)
    if rng.random() < 0.5:  # few scatterers in a cell: K-distributed
        density = rng.gamma(rng.uniform(0.5, 4), size=(_SIDE, _SIDE))
        speckle = speckle * np.sqrt(ndimage.gaussian_filter(density, grain))
    return _frame(speckle, rng, "statistical texture")


TEXTURES = (cosine_texture, statistical_texture)


def _frame(speckle: np.ndarray, rng: np.random.Generator, name: str) -> RealFrame:
    """Puts speckle on uneven tissue with dark holes and bright lines, and compresses it to grey values."""
    decibels = 20 * np.log10(speckle / speckle.mean() + 1e-3) + rng.uniform(3, 9) * _field(rng.uniform(12, 60), rng)
    holes = _field(rng.uniform(15, 50), rng)
    decibels = np.where(holes > rng.uniform(0.8, 2.5), decibels - rng.uniform(10, 35), decibels)
    lines = np.abs(_field(rng.uniform(15, 60), rng)) < rng.uniform(0, 0.08)
    decibels = decibels + rng.uniform(0, 12) * ndimage.gaussian_filter(lines.astype(float), rng.uniform(0.5, 2))
    grey = np.clip(rng.uniform(0.4, 0.8) + decibels / rng.uniform(35, 70), 0, 1) ** rng.uniform(0.8, 1.5)
    return RealFrame((255 * grey).astype(np.uint8), name)


def _field(length: float, rng: np.random.Generator) -> np.ndarray:
    """Draws a smooth random field (H, W) of unit variance."""
    coarse = rng.standard_normal([int(np.ceil(_SIDE / length)) + 4] * 2)
    field = ndimage.zoom(coarse, _SIDE / (len(coarse) - 3), order=3)[:_SIDE, :_SIDE]
    return (field - field.mean()) / max(field.std(), 1e-6)
