"""The objective of the pyramid network: overlap of labels in both directions, likeness, smoothness and class maps."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import warp
from UltrasoundMotionLib.lab.training.data.random_window import random_window
from UltrasoundMotionLib.lab.training.data.registration_pairs import RegistrationBatch
from UltrasoundMotionLib.lab.training.objective import weighted_sum
from UltrasoundMotionLib.lab.training.objectives.registration import RegistrationObjective
from UltrasoundMotionLib.lab.training.objectives.running_mean import update_running_mean
from UltrasoundMotionLib.lab.training.precision import full_precision
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain
from UltrasoundMotionLib.registration.methods.pyramid.network import PyramidConfig, PyramidNetwork
from UltrasoundMotionLib.similarity import diffusion, lncc, one_hot, soft_dice


@dataclass(frozen=True)
class PyramidLoss:
    """The weights of the terms.

    Attributes:
        labels: of 1 - soft Dice of the warped labels, the mean of both directions.
        lncc: of 1 - LNCC of the warped images, the mean of both directions.
        smoothness: of the mean squared gradient of the displacements at full resolution, the mean of both directions.
        classes: of 1 - soft Dice plus cross-entropy of the class maps that the features give for each image.
        window: edge of LNCC's windows in voxels.
    """

    labels: float = 2.0
    lncc: float = 0.5
    smoothness: float = 0.5
    classes: float = 0.5
    window: int = 5

    def __post_init__(self) -> None:
        weights = (self.labels, self.lncc, self.smoothness, self.classes)
        if min(weights) < 0 or self.labels + self.lncc == 0:
            raise InputError(
                f"pyramid: weights of losses must be 0 or more, one of labels and lncc above 0, got {self}"
            )


class PyramidObjective(RegistrationObjective):
    """Trains `PyramidNetwork`.

    Args:
        name: name of the weights.
        network: configuration of the network.
        loss: weights of the terms.
        domain: domain of the images.
        window: size (D, H, W) of the random part of the images that a step sees; None along an axis: all of it.
        averaging: fraction of itself that the running mean of the weights keeps at each step, less at first. The mean
            is validated and shipped.
    """

    architecture = "PyramidNetwork"
    task = "deformable registration by a symmetric velocity field from coarse to fine, trained with labels"

    def __init__(
        self,
        name: str,
        network: PyramidConfig,
        loss: PyramidLoss,
        domain: ModelDomain,
        *,
        window: tuple[int | None, ...] = (None, None, None),
        averaging: float = 0.998,
    ) -> None:
        super().__init__()
        if network.classes != len(domain.labels) + 1:
            raise InputError(
                f"pyramid: {network.classes} classes do not fit the {len(domain.labels)} labels of {domain.name} and"
                " the background"
            )
        self.name, self.loss, self.domain, self._window, self._averaging = name, loss, domain, window, averaging
        self.limits = f"{domain.modality}; trained to align {', '.join(domain.labels.values())}. Not for clinical use."
        self.network: PyramidNetwork = PyramidNetwork(network)
        self.average = deepcopy(self.network).requires_grad_(False)

    def losses(self, batch: RegistrationBatch, step: int) -> dict[str, Tensor]:
        """Computes overlap, likeness, smoothness and the loss of the class maps."""
        update_running_mean(self.average, self.network, step, self._averaging)
        part = random_window(self._window, batch.fixed.shape[2:], torch.Generator().manual_seed(step))
        fixed, moving = batch.fixed[part], batch.moving[part]
        images, spatial, pairs = torch.cat([fixed, moving]), tuple(fixed.shape[2:]), len(fixed)
        features = self.network.features(images)
        first, second = [one[:pairs] for one in features], [one[pairs:] for one in features]
        velocity = self.network.velocity(first, second)
        logits = self.network.logits(features, spatial)
        with full_precision(images.device.type):
            labels = torch.cat([batch.fixed_labels[part], batch.moving_labels[part]])
            hot = one_hot(labels[:, None], tuple(self.domain.labels))
            # both directions in one batch: fixed from moving, moving from fixed
            both = self.network.displacement(torch.cat([velocity, -velocity]), spatial)
            warped = warp(torch.cat([images, hot], dim=1).roll(pairs, dims=0), both)
            parts = {
                "labels": 1 - soft_dice(hot, warped[:, 1:]),
                "lncc": 1 - lncc(images, warped[:, :1], self.loss.window),
                "smoothness": diffusion(both, reduction="voxelmorph"),
                "classes": _class_loss(logits, hot),
            }
        return {"total": weighted_sum(parts, self.loss), **parts}

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Copies trained weights into the network and its running mean."""
        super().start_from(tensors)
        self.average.load_state_dict(self.network.state_dict())

    @torch.no_grad()
    def displacement(self, fixed: Tensor, moving: Tensor) -> Tensor:
        """Returns the displacement of the running mean of the weights."""
        return self.average(fixed, moving)

    @torch.no_grad()
    def predicted_labels(self, image: Tensor, other: Tensor) -> Tensor:
        """Returns the label of the likeliest class of every voxel."""
        values = torch.tensor([0, *self.domain.labels], device=image.device)
        return values[self.average.logits(self.average.features(image), tuple(image.shape[2:])).argmax(1)]

    def weights(self) -> dict[str, Tensor]:
        """Returns the running mean in half precision."""
        return {name: value.half() for name, value in self.average.state_dict().items()}

    def configuration(self) -> dict[str, object]:
        """Returns network, domain and loss."""
        return {"network": asdict(self.network.config), "domain": asdict(self.domain), "loss": asdict(self.loss)}


def _class_loss(logits: Tensor, hot: Tensor) -> Tensor:
    """Computes 1 - soft Dice plus cross-entropy of class logits (B, 1 + C, *spatial) and labels (B, C, *spatial)."""
    numbers = torch.arange(1, 1 + hot.shape[1], dtype=hot.dtype, device=hot.device)
    classes = torch.tensordot(numbers, hot, dims=([0], [1])).long()  # 0 where no label is
    return 1 - soft_dice(logits.softmax(1)[:, 1:], hot) + functional.cross_entropy(logits, classes)
