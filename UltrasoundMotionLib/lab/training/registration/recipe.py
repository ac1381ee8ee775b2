"""All that a training needs to know besides the data: what is trained, on which pairs, on which grid and how long."""

from __future__ import annotations

from dataclasses import dataclass

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.registration.batches import BatchConfig
from UltrasoundMotionLib.lab.training.registration.objective import Objective
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain

DATASETS = ("hippocampus", "cardiac")


@dataclass(frozen=True)
class RegistrationTraining:
    """A run.

    Attributes:
        steps: of the optimizer.
        seed: of the weights and of every batch.
        learning_rate: the highest; it rises over the first part `warm_up` of the steps and falls to nearly 0 along a
            cosine.
        weight_decay: AdamW's.
        warm_up: part of the steps.
        gradient_norm: gradients are scaled down to it; infinity is as they are.
        adversary_learning_rate: of the discriminator's own Adam, constant.
        mixed_precision: bfloat16 where it does not hurt and the device has it.
        log_every / save_every / validate_every: steps; 0 never validates.
    """

    steps: int = 2000
    seed: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warm_up: float = 0.05
    gradient_norm: float = 1.0
    adversary_learning_rate: float = 2e-4
    mixed_precision: bool = True
    log_every: int = 20
    save_every: int = 100
    validate_every: int = 250

    def __post_init__(self) -> None:
        if min(self.steps, self.log_every, self.save_every) < 1 or self.validate_every < 0:
            raise InputError(
                f"training: steps, log_every and save_every must be 1 or more, validate_every 0 or more, got {self}"
            )
        if not self.learning_rate > 0 or not 0 < self.warm_up < 1 or not self.gradient_norm > 0:
            raise InputError(
                f"training: learning_rate and gradient_norm must be above 0 and warm_up between 0 and 1, got {self}"
            )


@dataclass(frozen=True, eq=False)
class Recipe:
    """What `train NAME --dataset D --variant V` does.

    Attributes:
        objective: the networks and what they are trained by; weights are drawn from torch's seed when a recipe is made.
        domain: the grid of the images.
        batch: the pairs.
        training: how long, how fast.
    """

    objective: Objective
    domain: ModelDomain
    batch: BatchConfig
    training: RegistrationTraining
