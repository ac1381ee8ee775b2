"""Textures and the smooth displacements that deform them, for the tests of registration."""

import numpy as np
from scipy.ndimage import gaussian_filter

from UltrasoundMotionLib.fields import DisplacementField


def texture(shape, seed=3):
    """Blobs of several sizes, in [0, 1]."""
    noise = np.random.default_rng(seed)
    image = sum(width * gaussian_filter(noise.standard_normal(shape), width) for width in (1.5, 3.0))
    return ((image - image.min()) / (image.max() - image.min())).astype(np.float32)


def bump_field(grid, amplitude_mm, width_mm):
    """A smooth analytic displacement that dies out towards the border: amplitude along every axis times a Gaussian."""
    points = grid.points_lps_mm()
    centre = points.reshape(-1, grid.dimension).mean(axis=0)
    weight = np.exp(-0.5 * ((points - centre) ** 2).sum(axis=-1) / width_mm**2)
    return DisplacementField(weight[..., None] * np.asarray(amplitude_mm), grid)
