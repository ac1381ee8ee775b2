"""`train semantic|ltnet|voxelmorph|...`: makes the weights of the registration networks."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.cli.itk_warnings import no_itk_warnings
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.lab.training.registration.objectives import RECIPES, SUMMARIES
from UltrasoundMotionLib.progress import Progress, no_progress

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.registration.recipe import Recipe


def add_parsers(models: argparse._SubParsersAction) -> None:
    """Adds one parser for each registration network."""
    for name in RECIPES:
        parser = models.add_parser(
            name,
            help=SUMMARIES[name],
            description=(
                f"Trains {SUMMARIES[name]}. Leaves NAME.safetensors, a draft of its card NAME.json, log.csv, log.png (extra plot) and state.pt (for "
                "--resume) in the folder. The same seed gives the same weights on the same machine. Under torchrun, processes share the work."
            ),
        )
        parser.add_argument(
            "--dataset", required=True, choices=("hippocampus", "cardiac"), help="MSD Task04 Hippocampus, or ACDC"
        )
        parser.add_argument("--data", required=True, metavar="DIR", help="folder of that data set")
        parser.add_argument(
            "--out", required=True, metavar="DIR", help="folder for the weights, the log and the state to resume from"
        )
        parser.add_argument(
            "--variant", default="default", metavar="NAME", help="one of the network's own (an unknown one lists them)"
        )
        parser.add_argument("--steps", type=int, metavar="N", help="steps of the optimizer (default: the variant's)")
        parser.add_argument("--seed", type=int, default=1, metavar="S", help="of everything random (default 1)")
        parser.add_argument(
            "--batch", type=int, metavar="B", help="pairs in a step, of each process (default: the variant's)"
        )
        parser.add_argument("--learning-rate", type=float, metavar="R", help="the highest (default: the variant's)")
        parser.add_argument("--no-mixed-precision", action="store_true", help="float32 throughout")
        parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, ... (default auto)")
        parser.add_argument("--threads", type=int, metavar="N", help="threads on the CPU")
        parser.add_argument(
            "--validate-every",
            type=int,
            metavar="N",
            help="steps between validations; 0 is never (default: the variant's)",
        )
        parser.add_argument(
            "--subjects", type=int, metavar="N", help="learn from the first N training subjects only (default all)"
        )
        parser.add_argument("--start-from", metavar="CARD", help="card of trained weights to begin with (anatomy only)")
        parser.add_argument("--resume", action="store_true", help="go on from the state in --out")
        parser.add_argument("--quiet", action="store_true", help="no progress")
        parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Trains, and says where the weights are."""
    import torch

    from UltrasoundMotionLib.device import choose_device
    from UltrasoundMotionLib.lab.training.registration.objectives import make_recipe
    from UltrasoundMotionLib.lab.training.registration.processes import training_processes
    from UltrasoundMotionLib.lab.training.registration.trained_weights import save_trained
    from UltrasoundMotionLib.lab.training.registration.trainer import LOG_NAME, train_registration
    from UltrasoundMotionLib.lab.training.registration.training_curves import write_training_curves
    from UltrasoundMotionLib.lab.training.registration.training_data import read_subjects
    from UltrasoundMotionLib.weights import load_weights

    for name in ("steps", "batch", "threads", "subjects"):
        value = getattr(arguments, name)
        if value is not None and value < 1:
            raise InputError(f"--{name} must be at least 1, got {value}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    recipe = with_changes(
        make_recipe(arguments.network, arguments.dataset, arguments.variant, arguments.seed), arguments
    )
    if arguments.start_from is not None:
        if not hasattr(recipe.objective, "start_from"):
            raise InputError(f"--start-from: {arguments.network} begins with weights of its own; leave it out")
        recipe.objective.start_from(load_weights(arguments.start_from).tensors)
    out, device = Path(arguments.out), choose_device(arguments.device)
    with training_processes(device) as processes:
        quiet = arguments.quiet or processes.rank > 0
        with TerminalProgress("reading", "subjects", quiet=quiet) as progress, no_itk_warnings():
            subjects = read_subjects(
                arguments.dataset, arguments.data, "train", recipe.domain, most=arguments.subjects, progress=progress
            )
            validating = recipe.training.validate_every > 0 and processes.rank == 0
            others = (
                read_subjects(arguments.dataset, arguments.data, "validation", recipe.domain, progress=progress)
                if validating
                else []
            )
        with (
            TerminalProgress("training", "steps", quiet=quiet) as bar,
            between_steps(bar) if processes.rank == 0 else nullcontext(no_progress) as progress,
        ):
            found = train_registration(
                out,
                recipe,
                subjects,
                with_atlas(others, subjects, recipe),
                device=processes.device(device),
                resume=arguments.resume,
                processes=processes,
                progress=progress,
            )
        if processes.rank > 0:
            return 0
    command = shlex.join(["ultrasound-motion", *sys.argv[1:]])
    card = save_trained(
        out,
        recipe,
        arguments.dataset,
        subjects=len(subjects),
        command=command,
        validation=found,
        validation_subjects=len(others),
    )
    print("\n".join(f"{name} {value:.4g}" for name, value in found.items()))
    print(f"wrote {out / card.name}.safetensors")
    if find_spec("matplotlib") is not None:
        write_training_curves(out / "log.png", out / LOG_NAME)
        print(f"wrote {out / 'log.png'}")
    return 0


def with_changes(recipe: Recipe, arguments: argparse.Namespace) -> Recipe:
    """The recipe with what the command line says otherwise."""
    from dataclasses import replace

    given = {name: getattr(arguments, name) for name in ("steps", "learning_rate", "validate_every")}
    changes = {name: value for name, value in given.items() if value is not None}
    training = replace(
        recipe.training,
        seed=arguments.seed,
        mixed_precision=recipe.training.mixed_precision and not arguments.no_mixed_precision,
        **changes,
    )
    batch = recipe.batch if arguments.batch is None else replace(recipe.batch, size=arguments.batch)
    return replace(recipe, training=training, batch=batch)


def with_atlas(validation: list, subjects: list, recipe: Recipe) -> list:
    """The validation subjects and, where one atlas moves, the atlas, which is a training subject."""
    return validation + [one for one in subjects if validation and one.name == recipe.batch.atlas]


@contextmanager
def between_steps(progress: Progress) -> Iterator[Progress]:
    """The same progress; Ctrl-C waits for the step in progress and cancels after it, so that the state that is left is
    whole.
    """
    asked: list[int] = []

    def report(done: int, total: int, message: str) -> None:
        progress(done, total, message)
        if asked:
            raise Cancelled("interrupted")

    if threading.current_thread() is not threading.main_thread():
        yield report
        return
    previous = [
        (number, signal.signal(number, lambda number, frame: asked.append(number)))
        for number in (signal.SIGINT, signal.SIGTERM)
    ]
    try:
        yield report
    finally:
        for number, handler in previous:
            signal.signal(number, handler)
