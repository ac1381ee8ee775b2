"""`benchmark motion-bias`: which way the heart goes in what trackers learn from, before and after augmentation."""

from __future__ import annotations

import argparse
from pathlib import Path

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "motion-bias",
        help="directions of motion in training hearts, before and after augmentation, by phase of the beat",
    )
    parser.add_argument("--out", metavar="BIAS.png", type=Path, help="also draw it (extra plot)")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="training hearts (default 200)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="S", help="of the hearts and of the augmentation (default 1)"
    )
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.atomic_output import check_output_path
    from UltrasoundMotionLib.errors import InputError
    from UltrasoundMotionLib.lab.training.motion_bias import measure_motion_bias, write_motion_bias_picture
    from UltrasoundMotionLib.pictures.plot_packages import require_plot_packages

    check_output(arguments)
    if arguments.count < 1:
        raise InputError(f"--count must be at least 1, got {arguments.count}")
    if arguments.out:
        check_output_path(arguments.out)
        require_plot_packages("the picture of motion bias")
    with TerminalProgress("benchmark", "hearts") as progress:
        bias = measure_motion_bias(arguments.count, arguments.seed, progress=progress)
    if arguments.out:
        write_motion_bias_picture(arguments.out, bias)
    show(bias, arguments)
    return 0
