"""`train`: makes the weights of the trackers and registration methods that need some."""

from __future__ import annotations

import argparse
import shlex
import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from UltrasoundMotionLib.cli.request_arguments import add_arguments, command, from_arguments
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import Cancelled
from UltrasoundMotionLib.lab.training.recipe import RECIPES, Recipe, RunContext
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.settings import check_options, option


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The options of where and how a training runs; the weights do not depend on them.

    Attributes:
        out: folder for the results.
        device: "auto", "cpu", "cuda", ...
        threads: threads on the CPU; None: PyTorch's choice.
        workers: processes that draw batches ahead.
        resume: go on from the state in `out`.
        quiet: report no progress.
    """

    out: Path = option(metavar="DIR", help="folder for the weights, the log and the state to resume from")
    device: str = option("auto", metavar="NAME", help="auto, cpu, cuda, ... (default auto)")
    threads: int | None = option(None, minimum=1, metavar="N", help="threads on the CPU")
    workers: int = option(
        0,
        minimum=0,
        metavar="N",
        help="processes that draw batches ahead on the CPU (default 0: each is drawn when it is needed)",
    )
    resume: bool = option(False, help="go on from the state in --out")
    quiet: bool = option(False, help="no progress")

    def __post_init__(self) -> None:
        check_options(self)


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds a network for each recipe."""
    parser.description = "Trains the network of a tracker or registration method."
    networks = parser.add_subparsers(dest="network", metavar="NETWORK", required=True)
    for recipe in RECIPES.all():
        one = networks.add_parser(
            recipe.name,
            aliases=recipe.former_names,
            help=recipe.summary,
            description=(
                f"Trains {recipe.summary}, on {recipe.data}. Writes NAME.safetensors, a draft of its card NAME.json, "
                "log.csv, log.png (extra plot) and state.pt (for --resume) into the folder. The same seed gives the "
                "same weights on the same machine. Under torchrun, processes share the work."
            ),
            epilog=_defaults(recipe),
        )
        add_arguments(one, RunOptions)
        add_arguments(one, recipe.options)
        one.set_defaults(run=partial(run, recipe))


def _defaults(recipe: Recipe) -> str:
    defaults = recipe.defaults
    if defaults is None:
        return "Steps, learning rate and validations: by default those of the variant."
    return (
        f"By default {defaults.steps} steps, learning rate {defaults.learning_rate:g}, a validation every "
        f"{defaults.validate_every} steps."
    )


def run(recipe: Recipe, arguments: argparse.Namespace) -> int:
    """Trains, and prints where the weights are."""
    options, where = from_arguments(recipe.options, arguments), from_arguments(RunOptions, arguments)

    import torch

    from UltrasoundMotionLib.device import WITHOUT_MPS, choose_device
    from UltrasoundMotionLib.lab.training.log import LOG_NAME, PLOT_NAME, plot_log
    from UltrasoundMotionLib.lab.training.processes import training_processes
    from UltrasoundMotionLib.lab.training.trainer import train

    if where.threads:
        torch.set_num_threads(where.threads)
    device = choose_device(where.device, supported=WITHOUT_MPS, name="training")
    words = shlex.join(command("train", [recipe.name, "--out", "OUT"], options))
    with training_processes(device) as processes:
        bars = partial(_progress, quiet=where.quiet or not processes.first)
        found = []
        with recipe.prepare(options, RunContext(where.out, words, processes, bars)) as trainings:
            for training in trainings:
                with (
                    bars("training", "steps") as bar,
                    between_steps(bar) if processes.first else nullcontext(no_progress) as progress,
                ):
                    figures = train(
                        training.folder,
                        training.objective,
                        training.batches,
                        training.settings,
                        cases=training.cases,
                        card=training.card,
                        store=options.store,
                        device=processes.device(device),
                        resume=where.resume,
                        start_from=options.start_from,
                        workers=where.workers,
                        processes=processes,
                        progress=progress,
                    )
                found.append(figures)
        if not processes.first:
            return 0
    plots = []
    if find_spec("matplotlib") is not None:
        for training in trainings:
            plot_log(training.folder / PLOT_NAME, training.folder / LOG_NAME)
            plots.append(f"wrote {training.folder / PLOT_NAME}")
    print("\n".join(plots + recipe.report(options, trainings, found)))
    return 0


def _progress(title: str, unit: str, *, quiet: bool) -> AbstractContextManager[Progress]:
    return TerminalProgress(title, unit, quiet=quiet)


@contextmanager
def between_steps(progress: Progress) -> Iterator[Progress]:
    """Yields the progress, which cancels after the step in which Ctrl-C was pressed, so that the state is whole."""
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
