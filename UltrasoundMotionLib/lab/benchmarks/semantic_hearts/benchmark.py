"""`benchmark semantic-hearts`: Table 2 of the semantically guided paper, on the user's copy of ACDC."""

from __future__ import annotations

import argparse

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_data_argument,
    add_output_arguments,
    check_against,
    check_arguments,
    show,
)
from UltrasoundMotionLib.lab.benchmarks.kept_training import add_training_arguments, training_budget
from UltrasoundMotionLib.lab.benchmarks.semantic_hearts.splits import SPLITS
from UltrasoundMotionLib.lab.benchmarks.semantic_hearts.table import METHODS, run_semantic_hearts
from UltrasoundMotionLib.lab.training.published_semantic import EPOCHS

DESCRIPTION = """Table 2 of Ha et al. (Sensors 2020): end-systole onto end-diastole on ACDC, 1.56 mm, 128 x 128 x 64.
The two-step network and its training are the paper's: batches of 5 pairs, Adam at 0.001 times 0.97 after every epoch,
300 epochs, losses at full resolution, 70 patients to learn from and 30 to measure on. Beside it run LCC-Demons and
VoxelMorph, which the paper quotes; VoxelMorph learns from the same patients for as many pairs. Labels of patients that
are measured only score. With --out, what is done is kept: the same command goes on where it was interrupted, and the
weights lie there with their cards. The whole takes days on a CPU: give --device cuda, or fewer --epochs."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "semantic-hearts", help="Table 2 of the semantically guided paper, at its budget", description=DESCRIPTION
    )
    add_data_argument(parser, content="ACDC's training patients (patient001 ... patient100)")
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default=SPLITS[0],
        help="paper (default): of every group of twenty patients the first fourteen train, the others are measured; "
        "validation, held-out: the project's, where the first ten train",
    )
    parser.add_argument(
        "--methods",
        metavar="M",
        nargs="+",
        choices=METHODS,
        default=METHODS,
        help=f"{', '.join(METHODS)} (default: all)",
    )
    add_training_arguments(parser, subjects="patients", epochs=EPOCHS, batch=5)
    add_output_arguments(parser, against="semantic-published")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    check_against(arguments, ["no registration", *arguments.methods])
    budget = training_budget(arguments)
    with TerminalProgress("Table 2", "steps") as progress:
        result = run_semantic_hearts(
            arguments.data,
            arguments.out,
            budget,
            split=arguments.split,
            methods=arguments.methods,
            progress=progress,
        )
    learnt, measured = (result.details[name] for name in ("patients", "pairs"))
    print(f"{budget.epochs} epochs of {learnt} patients from seed {budget.seed}; {measured} patients measured")
    show(result, arguments)
    return 0
