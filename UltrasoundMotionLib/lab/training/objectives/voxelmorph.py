"""The objective of VoxelMorph: likeness and smoothness, with the help of labels or without (Balakrishnan et al., TMI
2019).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import warp
from UltrasoundMotionLib.lab.training.data.registration_pairs import RegistrationBatch
from UltrasoundMotionLib.lab.training.objective import weighted_sum
from UltrasoundMotionLib.lab.training.objectives.registration import RegistrationObjective
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain
from UltrasoundMotionLib.registration.methods.voxelmorph.network import VoxelMorph, VoxelMorphConfig
from UltrasoundMotionLib.similarity import diffusion, lncc, mse, one_hot, soft_dice


@dataclass(frozen=True)
class VoxelMorphLoss:
    """The weights of the terms and how images are compared.

    Attributes:
        lncc: weight of 1 - LNCC in windows of `window` voxels.
        mse: weight of the mean squared difference, for images of one scan.
        smoothness: weight of the mean squared gradient of the displacement, or of the velocity where there is one, in
            voxels of its own grid.
        labels: weight of 1 - Dice of warped labels (Eq. 10, there added with gamma 0.01 to 0.1 beside MSE); 0 uses no
            labels.
        window: edge of the windows in voxels; the paper's is 9.
        symmetric: compare in both directions, which a velocity gives at once.
        half_size: compare images and labels at half of their resolution, averaged: an eighth of the work in 3D.
    """

    lncc: float = 1.0
    mse: float = 0.0
    smoothness: float = 1.0
    labels: float = 0.0
    window: int = 9
    symmetric: bool = False
    half_size: bool = False

    def __post_init__(self) -> None:
        if min(self.lncc, self.mse, self.smoothness, self.labels) < 0 or self.lncc + self.mse + self.labels == 0:
            raise InputError(
                f"voxelmorph: weights of losses must be 0 or more, one of lncc, mse and labels above 0, got {self}"
            )


class VoxelMorphObjective(RegistrationObjective):
    """Trains `VoxelMorph`.

    Raises:
        InputError: a symmetric loss of a network that gives a displacement.
    """

    architecture = "VoxelMorph"
    limits = "Trained on images of one kind, cropped alike, of subjects in one orientation. Not for clinical use."

    def __init__(self, network: VoxelMorphConfig, loss: VoxelMorphLoss, name: str, domain: ModelDomain) -> None:
        super().__init__()
        if loss.symmetric and network.output != "velocity":
            raise InputError(
                "voxelmorph: both directions need output 'velocity', since only a velocity is inverted by its sign"
            )
        self.network: VoxelMorph = VoxelMorph(network)
        self.loss, self.name, self.domain = loss, name, domain
        self.task = "deformable registration by one network (VoxelMorph), trained " + (
            "with labels" if loss.labels else "without labels"
        )

    def losses(self, batch: RegistrationBatch, step: int) -> dict[str, Tensor]:
        """Computes likeness, smoothness and, with labels, overlap."""
        raw = self.network.raw_field(batch.fixed, batch.moving)
        fixed, moving = (
            self._compared(batch.fixed, batch.fixed_labels),
            self._compared(batch.moving, batch.moving_labels),
        )
        ways = [(fixed, moving, False)] + ([(moving, fixed, True)] if self.loss.symmetric else [])
        parts: dict[str, Tensor] = {}
        for target, source, backward in ways:
            field = self.network.displacement(raw, tuple(target.shape[2:]), backward=backward)
            for name, value in self._likeness(target, source, field).items():
                parts[name] = parts.get(name, 0.0) + value / len(ways)
        parts["smoothness"] = diffusion(raw, reduction="voxelmorph")
        return {"total": weighted_sum(parts, self.loss), **parts}

    def _compared(self, image: Tensor, labels: Tensor) -> Tensor:
        """Returns (B, 1 + labels, *spatial), what is warped and compared: the image and its labels one by one."""
        values = one_hot(labels[:, None], tuple(self.domain.labels)) if self.loss.labels else image[:, :0]
        together = torch.cat([image, values], dim=1)
        if not self.loss.half_size:
            return together
        pool = functional.avg_pool2d if image.ndim == 4 else functional.avg_pool3d
        return pool(together, 2)

    def _likeness(self, fixed: Tensor, moving: Tensor, field: Tensor) -> dict[str, Tensor]:
        warped = warp(moving, field)
        parts: dict[str, Tensor] = {}
        if self.loss.lncc:
            parts["lncc"] = 1 - lncc(fixed[:, :1], warped[:, :1], self.loss.window)
        if self.loss.mse:
            parts["mse"] = mse(fixed[:, :1], warped[:, :1])
        if self.loss.labels:
            parts["labels"] = 1 - soft_dice(fixed[:, 1:], warped[:, 1:])
        return parts

    @torch.no_grad()
    def displacement(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Returns the network's displacement."""
        return self.network(fixed, moving)

    def configuration(self) -> dict[str, object]:
        """Returns network, domain and loss."""
        return {"network": asdict(self.network.config), "domain": asdict(self.domain), "loss": asdict(self.loss)}
