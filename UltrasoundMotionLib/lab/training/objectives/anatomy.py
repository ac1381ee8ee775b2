"""The objective of the anatomy network: overlap and cross-entropy of its class maps with the labels of both images."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict

import torch
from torch import Tensor
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.random_window import random_window
from UltrasoundMotionLib.lab.training.data.registration_pairs import RegistrationBatch
from UltrasoundMotionLib.lab.training.objectives.registration import RegistrationObjective
from UltrasoundMotionLib.lab.training.objectives.running_mean import update_running_mean
from UltrasoundMotionLib.registration.learned.anatomy_network import AnatomyConfig, AnatomyNetwork
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain, normalise
from UltrasoundMotionLib.similarity import one_hot, soft_dice


class AnatomyObjective(RegistrationObjective):
    """Minimises 1 - soft Dice of the labels plus cross-entropy, of the network's supervised levels too.

    A level's loss weighs half of the next finer one's.

    Args:
        name: name of the weights.
        network: configuration of the network.
        domain: domain of the images.
        window: size (D, H, W) of the random part of the images that a step sees; None along an axis: all of it.
        noise: largest standard deviation of noise on the normalised image (padding included, unlike noise before
            normalisation).
        averaging: fraction of itself that the running mean of the weights keeps at each step, less at first. The mean
            is validated and shipped.
    """

    architecture = "AnatomyNetwork"
    task = "class probabilities of one image, which guide its registration"

    def __init__(
        self,
        name: str,
        network: AnatomyConfig,
        domain: ModelDomain,
        *,
        window: tuple[int | None, ...] = (None, None, None),
        noise: float = 0.25,
        averaging: float = 0.998,
    ) -> None:
        super().__init__()
        self.name, self.domain, self._window, self._noise, self._averaging = name, domain, window, noise, averaging
        self.limits = f"{domain.modality}; maps of {', '.join(domain.labels.values())} only"
        self.network: AnatomyNetwork = AnatomyNetwork(network)
        self.average = deepcopy(self.network).requires_grad_(False)

    def losses(self, batch: RegistrationBatch, step: int) -> dict[str, Tensor]:
        """Computes `dice` (1 - mean overlap) and `cross_entropy` of both images, and `total`, of all levels."""
        update_running_mean(self.average, self.network, step, self._averaging)
        generator = torch.Generator().manual_seed(step)
        window = random_window(self._window, batch.fixed.shape[2:], generator)
        images, labels = torch.cat([batch.fixed, batch.moving]), torch.cat([batch.fixed_labels, batch.moving_labels])
        values = normalise(images)
        values, labels = values[window], labels[window]
        deviations = self._noise * torch.rand(len(values), generator=generator).view(-1, 1, 1, 1, 1)
        values = values + (deviations * torch.randn(values.shape, generator=generator)).to(values.device)
        others = torch.cat(values.chunk(2)[::-1]) if self.network.config.phases else None
        hot = one_hot(labels[:, None], tuple(self.domain.labels))
        classes = functional.pad(hot, [0, 0, 0, 0, 0, 0, 1, 0], value=0.5).argmax(1)
        rows = []
        for logits in self.network.logits_of_levels(values, others):
            overlap = soft_dice(logits.float().softmax(1)[:, 1:], hot)
            rows.append((1 - overlap, functional.cross_entropy(logits.float(), classes)))
        weights = [0.5**level for level in range(len(rows))]
        total = torch.stack([weight * (dice + entropy) for weight, (dice, entropy) in zip(weights, rows, strict=True)])
        dice, entropy = rows[0]
        return {"total": total.sum() / sum(weights), "dice": dice.detach(), "cross_entropy": entropy.detach()}

    def start_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the weights of a trained anatomy network; from one that saw single images, the other phase has no
        effect at first.

        Raises:
            InputError: weights of a network of other sizes.
        """
        own = self.network.state_dict()
        for name, value in own.items():
            given = tensors.get(name)
            if given is None or given.shape[:1] != value.shape[:1] or given.shape[2:] != value.shape[2:]:
                held = "missing" if given is None else tuple(given.shape)
                raise InputError(f"start from: {name} is {held}, {self.name} has {tuple(value.shape)}")
            if given.shape == value.shape:
                value.copy_(given)
            else:
                value.zero_()[:, : given.shape[1]] = given
        self.average.load_state_dict(own)

    def displacement(self, fixed: Tensor, moving: Tensor) -> None:
        """Returns None: the network gives no field."""

    def predicted_labels(self, image: Tensor, other: Tensor) -> Tensor:
        """Returns the label of the likeliest class of every voxel; `other` is seen by networks with phases."""
        values = torch.tensor([0, *self.domain.labels], device=image.device)
        return values[self.average(image, other).argmax(1)]

    def weights(self) -> dict[str, Tensor]:
        """Returns the running mean in half precision: half the file, and maps that differ by less than a thousandth."""
        return {name: value.half() for name, value in self.average.state_dict().items()}

    def configuration(self) -> dict[str, object]:
        """Returns network and domain."""
        return {"network": asdict(self.network.config), "domain": asdict(self.domain)}
