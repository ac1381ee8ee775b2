"""Trainings inside benchmarks: they go on from what an earlier run of the same command left in their folder."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.lab.benchmarks.command import whole_number
from UltrasoundMotionLib.progress import Progress

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.step_batches import StepBatches
    from UltrasoundMotionLib.lab.training.objective import Objective
    from UltrasoundMotionLib.lab.training.settings import TrainingSettings
    from UltrasoundMotionLib.weights import ModelCard


@dataclass(frozen=True)
class PaperBudget:
    """The size of the trainings and of the measurement behind a paper's table.

    Attributes:
        epochs: every subject is seen once in each.
        batch: pairs in a step.
        subjects, pairs: at most so many to learn from and to measure, evenly chosen; None: all.
        seed: of weights and batches.
        device: of the networks.
    """

    epochs: int
    batch: int
    subjects: int | None = None
    pairs: int | None = None
    seed: int = 1
    device: str = "cpu"


def add_training_arguments(parser: argparse.ArgumentParser, *, subjects: str, epochs: int, batch: int) -> None:
    """Adds the arguments of a benchmark that trains networks at a paper's budget.

    Args:
        subjects: what is learnt from, as `faces`: the option's name, `--faces`.
        epochs, batch: of the paper, the defaults.
    """
    parser.add_argument(
        "--out", metavar="DIR", type=Path, required=True, help="keep states, weights and rows here, and go on from them"
    )
    parser.add_argument(
        "--epochs", metavar="N", type=whole_number, default=epochs, help=f"of training (default {epochs}, the paper's)"
    )
    parser.add_argument(
        "--batch", metavar="B", type=whole_number, default=batch, help=f"pairs in a step (default {batch}, the paper's)"
    )
    parser.add_argument(
        f"--{subjects}",
        metavar="N",
        dest="subjects",
        type=whole_number,
        help=f"learn from N {subjects} only, evenly chosen (default all)",
    )
    parser.add_argument(
        "--pairs", metavar="N", type=whole_number, help=f"measure N {subjects} only, evenly chosen (default all)"
    )
    parser.add_argument("--seed", metavar="S", type=whole_number, default=1, help="of weights and batches (default 1)")
    parser.add_argument("--device", metavar="D", default="cpu", help="cpu (default), cuda or auto")
    parser.add_argument("--threads", metavar="N", type=whole_number, help="on the CPU (default: what PyTorch takes)")


def training_budget(arguments: argparse.Namespace) -> PaperBudget:
    """Returns what `add_training_arguments` asks for, and takes its threads.

    Raises:
        InputError: there is no such device, or networks cannot be trained on it.
    """
    import torch

    from UltrasoundMotionLib.device import WITHOUT_MPS, choose_device

    device = choose_device(arguments.device, supported=WITHOUT_MPS, name="training")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    names = ("epochs", "batch", "subjects", "pairs", "seed")
    return PaperBudget(device=device, **{name: getattr(arguments, name) for name in names})


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
