"""The loop that trains every registration network: resumable at any step, the same for the same seed, alone or in
several processes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.lab.training.mixed_precision import mixed_precision
from UltrasoundMotionLib.lab.training.one_cycle import one_cycle
from UltrasoundMotionLib.lab.training.registration.batches import PairSource, RegistrationBatch, TrainingSubject
from UltrasoundMotionLib.lab.training.registration.objective import Objective
from UltrasoundMotionLib.lab.training.registration.processes import Processes
from UltrasoundMotionLib.lab.training.registration.recipe import Recipe, RegistrationTraining
from UltrasoundMotionLib.lab.training.registration.validation import validate
from UltrasoundMotionLib.lab.training.training_state import TrainingState
from UltrasoundMotionLib.progress import Progress, no_progress

STATE_NAME, LOG_NAME = "state.pt", "log.csv"
ADVERSARY_BETAS = (0.5, 0.999)


class Optimizers:
    """The main optimizer and, for objectives with a discriminator, its own; one state for both."""

    def __init__(self, objective: Objective, config: RegistrationTraining) -> None:
        self.config = config
        self.adversary_parameters = objective.adversary_parameters()
        apart = {id(one) for one in self.adversary_parameters}
        self.parameters = [one for one in objective.parameters() if id(one) not in apart]
        self.main = torch.optim.AdamW(self.parameters, lr=config.learning_rate, weight_decay=config.weight_decay)
        self.adversary = None
        if self.adversary_parameters:
            self.adversary = torch.optim.Adam(
                self.adversary_parameters, lr=config.adversary_learning_rate, betas=ADVERSARY_BETAS
            )

    def state_dict(self) -> dict[str, Any]:
        """Of both."""
        return {
            "main": self.main.state_dict(),
            "adversary": None if self.adversary is None else self.adversary.state_dict(),
        }

    def load_state_dict(self, values: dict[str, Any]) -> None:
        """What `state_dict` gave."""
        self.main.load_state_dict(values["main"])
        if self.adversary is not None:
            self.adversary.load_state_dict(values["adversary"])


def train_registration(
    folder: Path | str,
    recipe: Recipe,
    subjects: Sequence[TrainingSubject],
    validation_subjects: Sequence[TrainingSubject] = (),
    *,
    device: str | torch.device = "cpu",
    resume: bool = False,
    stop_after: int | None = None,
    processes: Processes | None = None,
    progress: Progress = no_progress,
) -> dict[str, float]:
    """Trains the recipe's objective in place, and leaves in `folder` the state to go on from (state.pt) and the log
    (log.csv).

    Args:
        subjects: to learn from.
        validation_subjects: to validate on; none never validates.
        resume: go on from the state in `folder`; the result is that of a run without the break.
        stop_after: leave off after that many steps of this sitting, with the state written.
        processes: this process among those of `torchrun`.

    Returns:
        The last validation, see `validate`; empty where there was none.

    Raises:
        InputError: too few subjects, a state of another run, a loss that is no number.
        OutputError: a file cannot be written.
        Cancelled: `progress` raised it; the state up to there was written.
    """
    config, objective, processes = recipe.training, recipe.objective, processes or Processes()
    folder, place = Path(folder), torch.device(device)
    folder.mkdir(parents=True, exist_ok=True)
    source = PairSource(subjects, recipe.batch, config.seed, place)
    objective.to(place).train()
    objective.prepare(config.steps)
    optimizers = Optimizers(objective, config)
    scheduler = one_cycle(optimizers.main, config.learning_rate, config.steps, config.warm_up)
    settings = f"{objective.name} {config!r} {recipe.batch!r} subjects={len(subjects)} processes={processes.count} {objective.configuration()!r}"
    state = TrainingState(objective, optimizers, scheduler, settings, log=[])
    if resume:
        state.read(folder / STATE_NAME, place)
    processes.start_alike(objective)
    last = config.steps if stop_after is None else min(config.steps, state.step + stop_after)
    started = time.perf_counter()
    try:
        while state.step < last:
            losses = train_step(objective, optimizers, source.draw(state.step, processes.rank), state.step, processes)
            rate = scheduler.get_last_lr()[0]
            scheduler.step()
            state.step += 1
            state.sums = {name: state.sums.get(name, 0.0) + value for name, value in losses.items()} | {
                "count": state.sums.get("count", 0) + 1
            }
            now = time.perf_counter()
            state.seconds, started = state.seconds + now - started, now
            ended = state.step == config.steps
            validating = (
                bool(validation_subjects)
                and config.validate_every > 0
                and (state.step % config.validate_every == 0 or ended)
            )
            if processes.rank == 0:
                if state.step % config.log_every == 0 or validating or ended:
                    row = _row(state, rate)
                    if validating:
                        row |= validate(objective, validation_subjects, recipe.batch, recipe.domain.labels, place)
                        started = time.perf_counter()
                    state.log.append(row)
                    state.write_log(folder / LOG_NAME, log_fields(state.log))
                if state.step % config.save_every == 0 or state.step == last:
                    state.write(folder / STATE_NAME)
                progress(state.step, config.steps, f"training, loss {losses['total']:.4f}")
    except Cancelled:
        if processes.rank == 0:
            state.write(folder / STATE_NAME)
        raise
    return last_validation(state.log)


def train_step(
    objective: Objective, optimizers: Optimizers, batch: RegistrationBatch, step: int, processes: Processes
) -> dict[str, float]:
    """One step of the networks and, where there is one, of the discriminator; returns the losses, averaged over
    processes.

    Raises:
        InputError: the loss is no number; nothing was changed then.
    """
    config, device = optimizers.config, batch.fixed.device.type
    with mixed_precision(device, config.mixed_precision):
        losses = objective.losses(batch, step)
    names = list(losses)
    values = processes.average(torch.stack([losses[name].detach().float() for name in names]))
    found = dict(zip(names, values.tolist(), strict=True))
    if not torch.isfinite(values).all():
        raise InputError(
            f"step {step + 1}: the loss is no number ({', '.join(f'{name} {value:.3g}' for name, value in found.items())})"
        )
    optimizers.main.zero_grad(set_to_none=True)
    losses["total"].backward()
    processes.average_gradients(optimizers.parameters)
    torch.nn.utils.clip_grad_norm_(optimizers.parameters, config.gradient_norm)
    optimizers.main.step()
    if optimizers.adversary is not None:
        with mixed_precision(device, config.mixed_precision):
            loss = objective.adversary_loss()
        if loss is not None:
            optimizers.adversary.zero_grad(set_to_none=True)
            loss.backward()
            processes.average_gradients(optimizers.adversary_parameters)
            optimizers.adversary.step()
            found["adversary"] = float(processes.average(loss.detach().float()))
    processes.share_buffers(objective)
    return found


def log_fields(log: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Columns in the order in which they first appear."""
    return tuple(dict.fromkeys(name for row in log for name in row))


def last_validation(log: Sequence[dict[str, Any]]) -> dict[str, float]:
    """The validation columns of the last row that has some."""
    validated = [row for row in log if any("dice" in name for name in row)]
    if not validated:
        return {}
    return {
        name: value
        for name, value in validated[-1].items()
        if "dice" in name or name in ("std_log_jacobian", "folding_percent")
    }


def _row(state: TrainingState, rate: float) -> dict[str, Any]:
    count = state.sums.pop("count")
    losses = {f"loss_{name}": round(value / count, 5) for name, value in state.sums.items()}
    state.sums = {}
    return {"step": state.step, "seconds": round(state.seconds, 1), "learning_rate": f"{rate:.3g}", **losses}
