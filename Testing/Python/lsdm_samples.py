"""Textures, batches and small networks for the tests of LSDM."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from UltrasoundMotionLib.lab.training.data.landmark_batches import LandmarkBatch
from UltrasoundMotionLib.tracking.trackers.lsdm.network import (
    WINDOW,
    LsdmConfig,
)

TINY = LsdmConfig(motion_channels=(8, 8, 8, 8), feature_channels=(8, 8), seeds=4)


def speckle(seed: int, side: int = 200) -> np.ndarray:
    """(side, side) smooth random texture of 0 to 255."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((1, 1, side, side), generator=generator)
    for width in (3, 3):
        values = nn.functional.avg_pool2d(values, width, 1, width // 2)
    values = values[0, 0] / values.std()
    return (128 + 50 * values).clamp(0, 255).numpy()


def moved(texture: np.ndarray, x: int, y: int) -> np.ndarray:
    """The texture, everything in it `x` to the right and `y` down."""
    return np.roll(texture, (y, x), axis=(0, 1))


def batch_of(seeds: range, shift: tuple[float, float] = (4.0, -2.0)) -> LandmarkBatch:
    """Landmarks in the middle of textures, `shift` px away in x_t, half of it in x_{t-dt}."""
    side = (200 - WINDOW) // 2
    cut = slice(side, side + WINDOW)
    frames = [
        torch.tensor(np.stack([moved(speckle(seed), x, y)[cut, cut] for seed in seeds]))[:, None] / 255
        for x, y in ((0, 0), (2, -1), (4, -2))
    ]
    count = len(seeds)
    nothing = torch.zeros((count, 1, 0, 0))
    target = 127 + torch.tensor(shift).expand(count, 2) * 127 / 48
    visible = torch.ones(count, dtype=torch.bool)
    return LandmarkBatch(
        nothing,
        nothing,
        target,
        visible,
        *(frame.float() for frame in frames),
        None,
        torch.ones(count),
        torch.ones(count),
    )
