"""`benchmark disk`: how fast a real disk turns."""

from __future__ import annotations

import argparse

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show
from UltrasoundMotionLib.lab.cli.benchmarks.tracker_arguments import (
    add_data_argument,
    add_tracker_arguments,
    chosen_trackers,
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("disk", help="the rotation of a real disk (PyMUST)")
    add_data_argument(
        parser,
        required=True,
        content="rotating-disk-ultrasound/bmode_PWI_disk.mat (creatis-ULTIM/PyMUST, examples/data)",
    )
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.lab.benchmarks.disk_benchmark import DISK_FILE, benchmark_disk, read_disk

    check_output(arguments)
    sequence = read_disk(arguments.data / DISK_FILE)
    trackers = chosen_trackers(arguments)
    with TerminalProgress("benchmark", "trackers") as progress:
        result = benchmark_disk(sequence, trackers, progress=progress)
    show(result, arguments)
    return 0
