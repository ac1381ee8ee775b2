"""The one loop that trains landmark networks: AdamW with one cycle, on batches drawn from the seed and the step,
resumable at any step.

The papers train with SGD for 50 epochs of 53 200 pairs and more; AdamW comes as far in the minutes that one CPU core
has.
"""

from __future__ import annotations

import csv
import hashlib
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.landmarks.landmark_batches import LandmarkBatchConfig, LandmarkBatches
from UltrasoundMotionLib.lab.training.landmarks.landmark_objective import LandmarkObjective
from UltrasoundMotionLib.lab.training.landmarks.landmark_sources import LandmarkSource
from UltrasoundMotionLib.lab.training.landmarks.landmark_validation import WindowErrors, validate
from UltrasoundMotionLib.lab.training.mixed_precision import mixed_precision
from UltrasoundMotionLib.lab.training.one_cycle import one_cycle
from UltrasoundMotionLib.lab.training.training_state import TrainingState
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.weights import ModelCard, save_weights

STATE_NAME, LOG_NAME = "state.pt", "log.csv"


@dataclass(frozen=True)
class LandmarkTrainingConfig:
    """A run.

    Attributes:
        steps: of the optimizer.
        seed: of every batch.
        learning_rate: the cycle's highest.
        weight_decay: AdamW's.
        warm_up: part of the steps in which the rate rises.
        gradient_norm: gradients are scaled down to it.
        batch: what a step sees.
        mixed_precision: bfloat16 in convolutions, where the device has it.
        log_every / save_every / validate_every: steps.
    """

    steps: int = 2000
    seed: int = 1
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warm_up: float = 0.1
    gradient_norm: float = 5.0
    batch: LandmarkBatchConfig = field(default_factory=LandmarkBatchConfig)
    mixed_precision: bool = True
    log_every: int = 20
    save_every: int = 200
    validate_every: int = 500

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise InputError(f"steps must be at least 1, got {self.steps}")


@dataclass(frozen=True)
class TrainedLandmarks:
    """The errors of the last validation, by group; none where nothing was validated on."""

    errors: tuple[WindowErrors, ...]


def train_landmarks(
    folder: Path | str,
    objective: LandmarkObjective,
    sources: Sequence[LandmarkSource],
    *,
    config: LandmarkTrainingConfig | None = None,
    groups: dict[str, Sequence[LandmarkSource]] | None = None,
    card: ModelCard | None = None,
    device: str = "cpu",
    resume: bool = False,
    start_from: Path | str | None = None,
    stop_after: int | None = None,
    progress: Progress = no_progress,
) -> TrainedLandmarks:
    """Trains, and leaves in `folder`: weights and card (NAME.safetensors, NAME.json), the state to go on from
    (state.pt), the log (log.csv).

    Args:
        groups: what to validate on.
        card: of the weights, without checksum and figures; None writes no weights.
        resume: go on from the state in `folder`; the result is that of a run without the break.
        start_from: weights (safetensors) of this network, or of one that is like it in part, to begin with.
        stop_after: leave off after that many steps of this sitting, with the state written.

    Raises:
        InputError: nothing to learn from, or a state of another run.
        OutputError: a file cannot be written.
        Cancelled: `progress` raised it; the state of the last save remains.
    """
    config = config or LandmarkTrainingConfig()
    folder, place, groups = Path(folder), torch.device(device), groups or {}
    folder.mkdir(parents=True, exist_ok=True)
    settings = f"{objective.name} {objective.configuration()!r} {config!r} sources={len(sources)}"
    if start_from is not None:
        objective.start_from(read_weights(start_from))
        settings += f" from={hashlib.sha256(Path(start_from).read_bytes()).hexdigest()[:16]}"
    objective.to(place).train()
    seen = replace(config.batch, windows_for_motion=objective.motion_windows, largest_size=objective.largest_size)
    batches = LandmarkBatches(sources, seen, config.seed, place)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    scheduler = one_cycle(optimizer, config.learning_rate, config.steps, config.warm_up)
    state = TrainingState(objective, optimizer, scheduler, settings, log=[])
    if resume:
        state.read(folder / STATE_NAME, place)
    last = config.steps if stop_after is None else min(config.steps, state.step + stop_after)
    errors: tuple[WindowErrors, ...] = ()
    sums: dict[str, float] = {}
    counted, started = 0, time.perf_counter()
    while state.step < last:
        batch = batches.step(state.step)
        with mixed_precision(place.type, config.mixed_precision):
            losses = objective.losses(batch, state.step)
        optimizer.zero_grad(set_to_none=True)
        losses["total"].backward()
        torch.nn.utils.clip_grad_norm_(objective.parameters(), config.gradient_norm)
        optimizer.step()
        rate = scheduler.get_last_lr()[0]
        scheduler.step()
        state.step += 1
        sums = {name: sums.get(name, 0.0) + float(value.detach()) for name, value in losses.items()}
        counted += 1
        now = time.perf_counter()
        state.seconds, started = state.seconds + now - started, now
        progress(state.step, config.steps, f"training, loss {sums['total'] / counted:.3f}")
        ended = state.step == last
        if state.step % config.log_every == 0 or ended:
            row = {"step": state.step, "seconds": round(state.seconds, 1), "learning_rate": f"{rate:.3g}"}
            row |= {name: round(value / counted, 4) for name, value in sums.items()}
            sums, counted = {}, 0
            if groups and (state.step % config.validate_every == 0 or ended):
                errors = validate(objective, groups, place)
                row["validation"] = "; ".join(one.as_text() for one in errors)
            state.log.append(row)
            _write_log(folder / LOG_NAME, state.log)
        if state.step % config.save_every == 0 or ended:
            state.write(folder / STATE_NAME)
            if card is not None:
                save_weights(
                    folder,
                    objective.weights(),
                    replace(card, measured={k: v for one in errors for k, v in one.measured().items()}),
                )
    return TrainedLandmarks(errors)


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """The weights in a safetensors file to start from.

    Raises:
        InputError: there are none.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: holds no weights ({str(error).splitlines()[0]})") from error


def _write_log(path: Path, rows: Sequence[dict]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_output(path) as temporary:
        Path(temporary).write_text(text.getvalue(), encoding="utf-8")
