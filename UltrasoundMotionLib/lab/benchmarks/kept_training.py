"""Trainings inside benchmarks: they go on from what an earlier run of the same command left in their folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.progress import Progress

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.step_batches import StepBatches
    from UltrasoundMotionLib.lab.training.objective import Objective
    from UltrasoundMotionLib.lab.training.settings import TrainingSettings
    from UltrasoundMotionLib.weights import ModelCard


def made_folder(folder: str | Path) -> Path:
    """Returns a folder that is there, made where it was not.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be made: {error.strerror or error}") from error
    return Path(folder)


def train_kept(
    folder: Path,
    objective: Objective[Any, Any],
    batches: StepBatches[Any],
    settings: TrainingSettings,
    *,
    card: ModelCard | None = None,
    device: str = "cpu",
    progress: Progress,
) -> float:
    """Trains an objective in place, going on from the state in the folder, and leaves it in evaluation mode.

    Args:
        card: draft of the card of the weights that are written; None writes none.

    Returns:
        The processor seconds of this session.
    """
    from UltrasoundMotionLib.lab.training.state import STATE_NAME
    from UltrasoundMotionLib.lab.training.trainer import train

    def report(done: int, total: int, message: str) -> None:
        progress(done, total, f"{folder.name}: {message}")

    started = time.process_time()
    train(
        folder,
        objective,
        batches,
        settings,
        card=card,
        device=device,
        resume=(folder / STATE_NAME).exists(),
        progress=report,
    )
    objective.eval()
    return time.process_time() - started
