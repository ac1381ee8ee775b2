"""The objective of SSMSR's first training: the loss of one scale over the training set, which is VoxelMorph's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.lab.training.data.step_batches import CPU, StepBatches
from UltrasoundMotionLib.lab.training.objective import Objective
from UltrasoundMotionLib.registration.methods.multiscale.settings import SsmsrSettings
from UltrasoundMotionLib.registration.methods.multiscale.stage import ScaleProblem, ScaleResult
from UltrasoundMotionLib.registration.methods.voxelmorph.network import VoxelMorph, VoxelMorphConfig
from UltrasoundMotionLib.registration.working_pair import WorkingPair


class ScaleObjective(Objective[WorkingPair, object]):
    """Trains the network of one scale over many pairs with the loss of test-time training, from no displacement.

    Args:
        dimension: 2 or 3.
        scale: how many times coarser than the images; 1 is VoxelMorph as the paper compares with.
        settings: of the method; their scales and steps do not count.
        name: of the weights.
    """

    architecture = "VoxelMorph"
    task = "deformable registration by one network, the start of SSMSR's test-time training"
    limits = "Trained on images of one kind. Not for clinical use."

    def __init__(self, dimension: int, scale: float, settings: SsmsrSettings, name: str) -> None:
        super().__init__()
        self.network: VoxelMorph = VoxelMorph(VoxelMorphConfig(dimension, settings.encoder, settings.decoder))
        self.scale, self.settings, self.name = scale, settings, name

    def losses(self, batch: WorkingPair, step: int) -> dict[str, Tensor]:
        """Computes L_R + lambda L_S of a pair at the scale."""
        shape = batch.fixed.shape
        nothing = ScaleResult(batch.fixed.new_zeros(1, len(shape) - 2, *shape[2:]))
        return {"total": ScaleProblem(batch, self.settings, self.scale, nothing).loss(self.network.unet)}

    def configuration(self) -> dict[str, object]:
        """Returns network, scale, windows and smoothness."""
        loss = {"likeness": asdict(self.settings.likeness), "smoothness": self.settings.smoothness}
        return {"network": asdict(self.network.config), "scale": self.scale, "loss": loss}


class WorkingPairs(StepBatches[WorkingPair]):
    """Draws one pair a step.

    Args:
        draw_pair: makes a pair from a generator of random numbers.
        description: data and settings in one line.
        seed: of everything drawn.
    """

    def __init__(self, draw_pair: Callable[[np.random.Generator], WorkingPair], description: str, seed: int) -> None:
        self._draw_pair, self.description, self._seed = draw_pair, description, seed

    def draw(self, step: int, rank: int = 0, device: torch.device = CPU) -> WorkingPair:
        """Returns the pair of a step, see `StepBatches`."""
        return self._draw_pair(np.random.default_rng([self._seed, step, rank])).to(str(device))
