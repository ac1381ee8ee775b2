"""One step of training: losses, gradients, and the optimizers of the network and of its discriminator."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.objective import Adversary, Objective
from UltrasoundMotionLib.lab.training.precision import mixed_precision
from UltrasoundMotionLib.lab.training.processes import Processes
from UltrasoundMotionLib.lab.training.schedule import schedule_of
from UltrasoundMotionLib.lab.training.settings import TrainingSettings


class Optimization:
    """AdamW, or SGD with momentum, with the settings' schedule of the learning rate, and Adam for the discriminator of
    an objective that has one.

    Args:
        objective: on its device, in training mode.
        settings: of the run.
        processes: the run's processes, between which gradients and logged losses are averaged.
    """

    def __init__(
        self, objective: Objective[Any, Any], settings: TrainingSettings, processes: Processes | None = None
    ) -> None:
        self.objective, self.settings, self.processes = objective, settings, processes or Processes()
        self._adversary = objective.adversary()
        apart = {id(one) for one in self._adversary.parameters} if self._adversary else set()
        self._parameters = [one for one in objective.parameters() if one.requires_grad and id(one) not in apart]
        fixed = [one for one in objective.parameters() if not one.requires_grad]
        self._updated_by_forward = [*objective.buffers(), *fixed]
        self._main = _optimizer(self._parameters, settings)
        self._schedule = schedule_of(self._main, settings)
        self._adam: torch.optim.Adam | None = None
        self._discriminate: nn.Module | None = None
        if self._adversary is not None:
            self._adam = torch.optim.Adam(
                self._adversary.parameters, lr=self._adversary.learning_rate, betas=self._adversary.betas
            )
            self._discriminate = self.processes.parallel(_Discrimination(self._adversary))
            self._freeze_adversary(True)
        self._compute = self.processes.parallel(objective, unused_parameters=objective.trains_in_parts)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return float(self._schedule.get_last_lr()[0])

    def step(self, batch: Any, number: int) -> dict[str, float]:
        """Takes one step.

        Args:
            batch: the objective's batch, on its device.
            number: steps taken before.

        Returns:
            The losses, averaged over the processes; with a discriminator also "adversary", its own loss.

        Raises:
            InputError: a loss or the gradient is not a finite number, or the batch cannot be used. Weights, buffers and
                optimizers are then as they were before the step.
        """
        before = [value.detach().clone() for value in self._updated_by_forward]
        try:
            losses = self._gradients(batch, number)
        except Exception as error:
            with torch.no_grad():
                for value, old in zip(self._updated_by_forward, before, strict=True):
                    value.copy_(old)
            if isinstance(error, InputError):
                raise InputError(f"step {number + 1}: {error}") from error
            raise
        self._main.step()
        self._schedule.step()
        if self._adam is not None:
            self._adam.step()
        return losses

    def state_dict(self) -> dict[str, Any]:
        """Returns the states of optimizers and schedule."""
        return {
            "main": self._main.state_dict(),
            "schedule": self._schedule.state_dict(),
            "adversary": None if self._adam is None else self._adam.state_dict(),
        }

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """Restores what `state_dict` returned."""
        self._main.load_state_dict(values["main"])
        self._schedule.load_state_dict(values["schedule"])
        if self._adam is not None:
            self._adam.load_state_dict(values["adversary"])

    def _gradients(self, batch: Any, number: int) -> dict[str, float]:
        """Computes the gradients of all that is to be stepped, and returns the losses."""
        settings, device = self.settings, self.objective.device.type
        _seed_default_generator(settings.seed, number, self.processes.rank)
        with mixed_precision(device, settings.mixed_precision):
            losses = self._compute(batch, number)
        found = self._averages(losses)
        self._main.zero_grad(set_to_none=True)
        losses["total"].backward()
        norm = nn.utils.clip_grad_norm_(self._parameters, settings.gradient_norm)
        if not torch.isfinite(norm):
            raise InputError(f"the gradient is not a finite number (norm {float(norm):.3g})")
        if self._adam is not None and self._discriminate is not None:
            self._freeze_adversary(False)
            try:
                with mixed_precision(device, settings.mixed_precision):
                    loss = self._discriminate()
                found |= self._averages({"adversary": loss})
                self._adam.zero_grad(set_to_none=True)
                loss.backward()
            finally:
                self._freeze_adversary(True)
        return found

    def _averages(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """Returns losses averaged over the processes, so that all of them refuse a loss together."""
        values = self.processes.average(torch.stack([value.detach().float() for value in losses.values()]))
        found = dict(zip(losses, values.tolist(), strict=True))
        if not torch.isfinite(values).all():
            text = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
            raise InputError(f"the loss is not a finite number ({text})")
        return found

    def _freeze_adversary(self, frozen: bool) -> None:
        for one in self._adversary.parameters if self._adversary else ():
            one.requires_grad_(not frozen)


def _optimizer(parameters: list[nn.Parameter], settings: TrainingSettings) -> torch.optim.Optimizer:
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.momentum is None:
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay)
    return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=settings.momentum)


class _Discrimination(nn.Module):
    """The discriminator's loss as a module whose parameters are the discriminator's alone."""

    def __init__(self, adversary: Adversary) -> None:
        super().__init__()
        self._held = nn.ParameterList(adversary.parameters)
        self._loss = adversary.loss

    def forward(self) -> Tensor:
        return self._loss()


def _seed_default_generator(seed: int, step: int, rank: int) -> None:
    """Seeds PyTorch's default generators from the step, so that layers such as dropout resume exactly as well."""
    torch.manual_seed(int(np.random.default_rng([seed, step, rank]).integers(2**62)))
