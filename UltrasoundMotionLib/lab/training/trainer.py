"""The loop that trains every network: resumable at any step, the same for the same seed, in one process or several."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from UltrasoundMotionLib.errors import Cancelled
from UltrasoundMotionLib.lab.training.data.step_batches import StepBatches, load_batches
from UltrasoundMotionLib.lab.training.log import LOG_NAME, write_log
from UltrasoundMotionLib.lab.training.objective import Batch, Case, Objective
from UltrasoundMotionLib.lab.training.optimization import Optimization
from UltrasoundMotionLib.lab.training.processes import Processes
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.lab.training.state import STATE_NAME, TrainingState
from UltrasoundMotionLib.lab.training.trained_weights import file_digest, read_weights, save_trained
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.weights import ModelCard


def train(
    folder: Path | str,
    objective: Objective[Batch, Case],
    batches: StepBatches[Batch],
    settings: TrainingSettings,
    *,
    cases: Sequence[Case] = (),
    card: ModelCard | None = None,
    store: str = "float32",
    device: str | torch.device = "cpu",
    resume: bool = False,
    start_from: Path | str | None = None,
    stop_after: int | None = None,
    workers: int = 0,
    processes: Processes | None = None,
    progress: Progress = no_progress,
) -> dict[str, float]:
    """Trains an objective in place.

    Writes into `folder`: the weights and their card (NAME.safetensors, NAME.json), the log (log.csv) and the state to
    resume from (state.pt).

    Args:
        cases: held-out cases for `Objective.validate`; without any there is no validation.
        card: draft of the card, see `draft_card`; None writes no weights.
        store: form of the weights in their file, see `save_weights`.
        resume: go on from the state in `folder`. The result is that of a run without the break.
        start_from: trained weights to begin with, see `read_weights`.
        stop_after: end after that many steps of this session, as if cancelled.
        workers: processes that draw batches ahead; 0 draws them in this one. The batches are the same.
        processes: this process among those of `torchrun`.
        progress: raise `Cancelled` from it to stop after a whole step.

    Returns:
        The figures of the last validation, by name; empty where there was none.

    Raises:
        InputError: nothing to learn from, a state of another run, a loss that is not a finite number.
        OutputError: a file cannot be written.
        Cancelled: `progress` raised it; state and weights up to there were written.
    """
    folder, processes = Path(folder), processes or Processes()
    device = torch.device(device)
    folder.mkdir(parents=True, exist_ok=True)
    run = (
        f"{objective.name} {objective.configuration()!r} {settings!r} {batches.description} processes={processes.count}"
    )
    if start_from is not None:
        objective.start_from(read_weights(start_from))
        run += f" from={file_digest(start_from)}"
    objective.to(device).train()
    objective.prepare(settings.steps)
    state = TrainingState(objective, Optimization(objective, settings, processes), run)
    if resume:
        state.read(folder / STATE_NAME, device)
    session = _Session(folder, state, settings, cases=cases, card=card, store=store, writes=processes.first)
    last = settings.steps if stop_after is None else min(settings.steps, state.step + stop_after)
    loaded = load_batches(batches, range(state.step, last), rank=processes.rank, device=device, workers=workers)
    try:
        for batch in loaded:
            loss = session.step(batch)
            progress(state.step, settings.steps, f"training, loss {loss:.4f}")
    except Cancelled:
        session.save()
        raise
    processes.share_buffers(objective)
    session.save()
    return state.validation


class _Session:
    """The part of a run between its start, or resumption, and its end; the process of rank 0 writes the files."""

    def __init__(
        self,
        folder: Path,
        state: TrainingState,
        settings: TrainingSettings,
        *,
        cases: Sequence[Any],
        card: ModelCard | None,
        store: str,
        writes: bool,
    ) -> None:
        self._folder, self._state, self._settings = folder, state, settings
        self._cases, self._card, self._store, self._writes = cases, card, store, writes
        self._started = time.perf_counter()

    def step(self, batch: Any) -> float:
        """Takes a step, logs, validates and saves where that is due, and returns the loss."""
        state, settings = self._state, self._settings
        rate = state.optimization.learning_rate
        losses = state.optimization.step(batch, state.step)
        state.step += 1
        state.sums = {name: state.sums.get(name, 0.0) + value for name, value in losses.items()} | {
            "count": state.sums.get("count", 0) + 1
        }
        now = time.perf_counter()
        state.seconds, self._started = state.seconds + now - self._started, now
        ended = state.step == settings.steps
        validates = bool(self._cases and settings.validate_every) and (
            state.step % settings.validate_every == 0 or ended
        )
        if self._writes and (state.step % settings.log_every == 0 or validates or ended):
            self._log(rate, validates)
        if state.step % settings.save_every == 0 and not ended:
            self.save()
        return losses["total"]

    def save(self) -> None:
        """Writes state, log and weights."""
        if not self._writes:
            return
        self._state.write(self._folder / STATE_NAME)
        if self._state.rows:
            write_log(self._folder / LOG_NAME, self._state.rows)
        if self._card is not None:
            save_trained(self._folder, self._state.objective, self._card, self._state.validation, store=self._store)

    def _log(self, rate: float, validates: bool) -> None:
        """Adds a row: the mean losses since the last one and, where that is due, the figures of a validation."""
        state = self._state
        count = state.sums.pop("count")
        row: dict[str, Any] = {
            "step": state.step,
            "seconds": round(state.seconds, 1),
            "learning_rate": f"{rate:.3g}",
            **{f"loss_{name}": round(value / count, 5) for name, value in state.sums.items()},
        }
        state.sums = {}
        if validates:
            state.objective.eval()
            with torch.no_grad():
                state.validation = state.objective.validate(self._cases)
            state.objective.train()
            row |= {f"validation_{name}": value for name, value in state.validation.items()}
            self._started = time.perf_counter()
        state.rows.append(row)
        write_log(self._folder / LOG_NAME, state.rows)
