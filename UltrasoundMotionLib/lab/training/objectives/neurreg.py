"""The objective of NeurReg: a simulated displacement that is known, and likeness (Zhu et al., WACV 2020)."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import warp
from UltrasoundMotionLib.lab.training.data.registration_pairs import RegistrationBatch
from UltrasoundMotionLib.lab.training.data.registration_simulator import SimulatorSettings, simulated_displacement
from UltrasoundMotionLib.lab.training.objective import weighted_sum
from UltrasoundMotionLib.lab.training.objectives.registration import RegistrationObjective
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain
from UltrasoundMotionLib.registration.methods.voxelmorph.network import VoxelMorph, VoxelMorphConfig
from UltrasoundMotionLib.similarity import lncc, one_hot, soft_dice


@dataclass(frozen=True)
class NeurRegLoss:
    """The weights of the terms.

    Attributes:
        field: of the squared distance to the simulated displacement, averaged over voxels.
        lncc: lambda, of 1 - LNCC of each of the two pairs.
        labels: beta, of 1 - Dice of each pair's carried labels; 0 uses no labels.
        window: edge of LNCC's windows in voxels.
    """

    field: float = 1.0
    lncc: float = 10.0
    labels: float = 0.0
    window: int = 5

    def __post_init__(self) -> None:
        if min(self.field, self.lncc, self.labels) < 0 or self.field + self.lncc == 0:
            raise InputError(f"neurreg: weights of losses must be 0 or more, field or lncc above 0, got {self}")


class NeurRegObjective(RegistrationObjective):
    """Trains the network of VoxelMorph on two pairs a step.

    An atlas M is moved by a simulated displacement F_g, which makes the fixed image of the first pair; the second is M
    and another training image. L = |F - F_g|^2 + lambda (L_sim of both pairs) + beta (L_seg of both pairs).
    """

    architecture = "VoxelMorph"
    task = "deformable registration by one network, supervised by simulated displacements (NeurReg)"
    limits = "Trained on images of one kind, cropped alike, of subjects in one orientation. Not for clinical use."

    def __init__(
        self,
        network: VoxelMorphConfig,
        loss: NeurRegLoss,
        simulator: SimulatorSettings,
        name: str,
        domain: ModelDomain,
    ) -> None:
        super().__init__()
        self.network: VoxelMorph = VoxelMorph(network)
        self.loss, self.simulator, self.name, self.domain = loss, simulator, name, domain

    def losses(self, batch: RegistrationBatch, step: int) -> dict[str, Tensor]:
        """Computes the distance to the simulated field, likeness and, with labels, overlap."""
        moving = batch.moving
        true = torch.cat(
            [simulated_displacement(tuple(one.shape[1:]), self.simulator, moving.device) for one in moving]
        )
        simulated, other = self.network(warp(moving, true), moving), self.network(batch.fixed, moving)
        parts = {
            "field": (simulated - true).square().sum(1).mean(),
            "lncc": self._unlikeness(warp(moving, true), moving, simulated)
            + self._unlikeness(batch.fixed, moving, other),
        }
        if self.loss.labels:
            fixed, labels = self._one_hot(batch.fixed_labels), self._one_hot(batch.moving_labels)
            overlaps = soft_dice(warp(labels, true), warp(labels, simulated)) + soft_dice(fixed, warp(labels, other))
            parts["labels"] = 2 - overlaps
        return {"total": weighted_sum(parts, self.loss), **parts}

    def _unlikeness(self, fixed: Tensor, moving: Tensor, field: Tensor) -> Tensor:
        return 1 - lncc(fixed, warp(moving, field), self.loss.window)

    def _one_hot(self, labels: Tensor) -> Tensor:
        """Returns (B, labels, *spatial)."""
        return one_hot(labels[:, None], tuple(self.domain.labels))

    @torch.no_grad()
    def displacement(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Returns the network's displacement."""
        return self.network(fixed, moving)

    def configuration(self) -> dict[str, object]:
        """Returns network, domain, loss and simulator."""
        return {
            "network": asdict(self.network.config),
            "domain": asdict(self.domain),
            "loss": asdict(self.loss),
            "simulator": asdict(self.simulator),
        }
