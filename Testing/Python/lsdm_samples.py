"""Textures, batches and small networks for the tests of LSDM."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from UltrasoundMotionLib.lab.training.data.landmark_sources import FrameTriple, LandmarkSource
from UltrasoundMotionLib.lab.training.data.lsdm_batches import LsdmBatch, LsdmBatches
from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
from UltrasoundMotionLib.tracking.trackers.lsdm.network import Lsdm, LsdmConfig

TINY = LsdmConfig(channels=(8, 8, 8, 8), motion_channels=8, feature_channels=8, seeds=4)


def speckle(seed: int, side: int = 256) -> np.ndarray:
    """(side, side) smooth random texture of 0 to 255."""
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn((1, 1, side, side), generator=generator)
    for width in (5, 5):
        values = nn.functional.avg_pool2d(values, width, 1, width // 2)
    values = values[0, 0] / values.std()
    return (128 + 50 * values).clamp(0, 255).numpy()


def moved(texture: np.ndarray, x: int, y: int) -> np.ndarray:
    """The texture, everything in it `x` to the right and `y` down."""
    return np.roll(texture, (y, x), axis=(0, 1))


class Textures(LandmarkSource):
    """Textures that move by (8, -4) pixels from x_0 to x_t, by three quarters of it to x_{t-dt}."""

    name = "liver-texture"

    def draw(self, rng: np.random.Generator) -> FrameTriple:
        """Draws a texture and 8 landmarks."""
        texture = speckle(int(rng.integers(1000)))
        points = rng.uniform(80, 176, (8, 2)).astype(np.float32)
        ways = ((0, 0), (6, -3), (8, -4))
        frames = np.stack([moved(texture, *way) for way in ways])
        return FrameTriple(frames, np.stack([points + np.float32(way) for way in ways]), np.ones((3, 8), dtype=bool))


PLAIN = LandmarkBatchSettings(triples=2, landmarks=2, motion=None, images=None, longest_offset=40.0)


def batch_of(seed: int = 0, step: int = 0) -> LsdmBatch:
    """Four landmarks of two moving textures, each window off the landmark by up to 40 samples."""
    return LsdmBatches([Textures()], PLAIN, seed).draw(step)


def network(config: LsdmConfig = TINY, seed: int = 0) -> Lsdm:
    """A network with random weights and motions of some pixels."""
    torch.manual_seed(seed)
    made = Lsdm(config).eval()
    for last in made.velocities:
        nn.init.normal_(last.weight, std=0.05)
    return made
