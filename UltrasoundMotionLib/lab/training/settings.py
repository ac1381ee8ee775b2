"""The settings that every training has: how long, how fast, and how often it logs, saves and validates."""

from __future__ import annotations

from dataclasses import dataclass

from UltrasoundMotionLib.errors import InputError


@dataclass(frozen=True)
class TrainingSettings:
    """The settings of a training run.

    Attributes:
        steps: number of optimizer steps.
        seed: seed of the weights and of every batch.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: weight decay of the optimizer.
        momentum: momentum of stochastic gradient descent; None: AdamW.
        warm_up: fraction of the steps in which the learning rate rises.
        gradient_norm: gradients are clipped to this norm; infinity leaves them as they are.
        mixed_precision: compute in bfloat16 where it does no harm and the device supports it.
        log_every: steps between two rows of the log, each with the mean losses since the row before.
        save_every: steps between two writings of state and weights.
        validate_every: steps between two validations; 0 never validates.

    Raises:
        InputError: a value out of range.
    """

    steps: int = 2000
    seed: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    momentum: float | None = None
    warm_up: float = 0.05
    gradient_norm: float = 1.0
    mixed_precision: bool = True
    log_every: int = 20
    save_every: int = 100
    validate_every: int = 250

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("log_every", 1), ("save_every", 1), ("validate_every", 0)):
            if getattr(self, name) < least:
                raise InputError(f"training: {name} must be at least {least}, got {getattr(self, name)}")
        for name in ("learning_rate", "gradient_norm"):
            if not getattr(self, name) > 0:
                raise InputError(f"training: {name} must be above 0, got {getattr(self, name)}")
        if self.momentum is not None and not 0 <= self.momentum < 1:
            raise InputError(f"training: momentum must lie between 0 and 1, got {self.momentum}")
        if not 0 < self.warm_up < 1:
            raise InputError(f"training: warm_up must lie between 0 and 1, got {self.warm_up}")


@dataclass(frozen=True)
class DecayingSettings(TrainingSettings):
    """Settings of a training at a constant learning rate that falls after every epoch, as many papers have it.

    Attributes:
        decay: factor of the learning rate after every epoch.
        epoch_steps: steps of an epoch.

    Raises:
        InputError: a value out of range.
    """

    decay: float = 0.97
    epoch_steps: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.decay <= 1 or self.epoch_steps < 1:
            raise InputError(
                "training: decay must lie above 0 and be at most 1, and epoch_steps be at least 1, got "
                f"{self.decay} and {self.epoch_steps}"
            )


@dataclass(frozen=True)
class ConstantRateSettings(DecayingSettings):
    """Settings of plain Adam: one learning rate throughout, gradients as they are, float32."""

    decay: float = 1.0
    gradient_norm: float = float("inf")
    mixed_precision: bool = False
