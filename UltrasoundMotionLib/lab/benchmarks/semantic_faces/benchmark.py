"""`benchmark semantic-faces`: Table 1 of the semantically guided paper, on the user's copy of Helen."""

from __future__ import annotations

import argparse
from pathlib import Path

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_data_argument,
    add_output_arguments,
    check_against,
    check_arguments,
    show,
)
from UltrasoundMotionLib.lab.benchmarks.kept_training import add_training_arguments, training_budget
from UltrasoundMotionLib.lab.benchmarks.semantic_faces.table import FURTHER, METHODS, run_semantic_faces
from UltrasoundMotionLib.lab.training.published_semantic import EPOCHS

DESCRIPTION = """Table 1 of Ha et al. (Sensors 2020): faces of Helen with the labels of Smith et al. (CVPR 2013), 2000
to learn from and 330 to measure, each with another of them drawn at random; grey, 320 x 260 pixels, seven labels.
Networks and training are the paper's: batches of 20 pairs, Adam at 0.001 times 0.97 after every epoch, 300 epochs. The
rows esr-cpd (explicit shape regression with coherent point drift, an upper bound that learns from landmarks) and
flownet (pre-trained, on images of half the size that landmarks aligned) need Helen's annotation files (--landmarks);
flownet also PTLFlow. With --out, what is done is kept: the same command goes on where it was interrupted, and the
weights lie there with their cards. The whole takes weeks on a CPU: give --device cuda, or fewer --epochs."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "semantic-faces", help="Table 1 of the semantically guided paper, at its budget", description=DESCRIPTION
    )
    add_data_argument(parser, content="Smith et al.'s resized Helen images (images, labels, exemplars.txt ...)")
    parser.add_argument(
        "--landmarks", metavar="DIR", type=Path, help="Helen's annotation files, in pixels of the resized images"
    )
    parser.add_argument(
        "--methods",
        metavar="M",
        nargs="+",
        choices=(*METHODS, *FURTHER),
        default=METHODS,
        help=f"{', '.join(METHODS)} (default: all of these), {', '.join(FURTHER)}",
    )
    add_training_arguments(parser, subjects="faces", epochs=EPOCHS, batch=20)
    add_output_arguments(parser, against="published")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    check_against(arguments, ["no registration", *arguments.methods])
    budget = training_budget(arguments)
    with TerminalProgress("Table 1", "steps") as progress:
        result = run_semantic_faces(
            arguments.data,
            arguments.out,
            budget,
            landmarks=arguments.landmarks,
            methods=arguments.methods,
            progress=progress,
        )
    learnt, measured = (result.details[name] for name in ("faces", "pairs"))
    print(f"{budget.epochs} epochs of {learnt} faces from seed {budget.seed}; {measured} pairs measured")
    show(result, arguments)
    return 0
