"""Displacements and images for the tests of fields."""

import numpy as np
import pytest
import torch

SHAPES = [(21, 26), (14, 18, 16)]


by_dimension = pytest.mark.parametrize("spatial", SHAPES, ids=["2D", "3D"])


def smooth_field(spatial, amplitude=1.5, seed=0, dtype=torch.float64):
    """A random field of long waves that stays below `amplitude` voxels and is 0 at the border."""
    generator = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(0, 1, size) for size in spatial], indexing="ij")
    window = np.prod([np.sin(np.pi * axis) for axis in axes], axis=0)
    components = [
        amplitude
        * window
        * np.prod([np.cos(np.pi * generator.uniform(0, 1.5) * axis + generator.uniform(0, 6)) for axis in axes], axis=0)
        for _ in spatial
    ]
    return torch.from_numpy(np.stack(components))[None].to(dtype)


def random_image(spatial, channels=1, seed=1, dtype=torch.float64):
    return torch.from_numpy(np.random.default_rng(seed).random((1, channels, *spatial))).to(dtype)


def linear_field(matrix, offset, spatial):
    """u(p) = A (p - centre) + b, components and p in the order (x, y[, z])."""
    coordinates = np.stack(
        np.meshgrid(*[np.arange(size, dtype=float) for size in spatial], indexing="ij")[::-1], axis=-1
    )
    centre = (np.array(spatial[::-1]) - 1) / 2
    return torch.from_numpy(np.moveaxis((coordinates - centre) @ np.asarray(matrix).T + offset, -1, 0))[None]


def inner(tensor, margin=3):
    return tensor[(..., *[slice(margin, -margin)] * (tensor.ndim - 2))]
