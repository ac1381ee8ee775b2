"""The learning rate's schedule: it rises once and falls once (Smith and Topin, 2017), or falls after every epoch."""

from __future__ import annotations

import torch

from UltrasoundMotionLib.lab.training.settings import DecayingSettings, TrainingSettings


def schedule_of(optimizer: torch.optim.Optimizer, settings: TrainingSettings) -> torch.optim.lr_scheduler.LRScheduler:
    """Returns the schedule of a training's settings."""
    if isinstance(settings, DecayingSettings):
        return torch.optim.lr_scheduler.StepLR(optimizer, settings.epoch_steps, gamma=settings.decay)
    return one_cycle(optimizer, settings.learning_rate, settings.steps, settings.warm_up)


def one_cycle(
    optimizer: torch.optim.Optimizer, highest: float, steps: int, warm_up: float
) -> torch.optim.lr_scheduler.OneCycleLR:
    """Returns a schedule that rises for the fraction `warm_up` of the steps, then falls to almost 0 along a cosine; the
    first moment of AdamW goes the other way, the momentum of SGD stays.

    PyTorch divides by zero where the rise is exactly one step; there it is a thousandth longer.
    """
    if abs(steps * warm_up - 1) < 1e-6:
        warm_up *= 1.001
    adaptive = not isinstance(optimizer, torch.optim.SGD)
    return torch.optim.lr_scheduler.OneCycleLR(
        optimizer, highest, total_steps=steps, pct_start=warm_up, cycle_momentum=adaptive
    )
