"""Images and masks for the tests of similarities."""

import numpy as np
import pytest
import torch

by_dimension = pytest.mark.parametrize("spatial", [(11, 13), (7, 9, 8)], ids=["2D", "3D"])


def images(spatial, seed=0, dtype=torch.float64, batch=1):
    generator = np.random.default_rng(seed)
    return [torch.from_numpy(generator.random((batch, 1, *spatial))).to(dtype) for _ in range(2)]


def some_mask(spatial, seed=1, share=0.7):
    return torch.from_numpy(np.random.default_rng(seed).random((1, 1, *spatial)) < share)
