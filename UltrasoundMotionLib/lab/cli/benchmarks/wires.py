"""`benchmark wires`: six wires that move in real ultrasound, with PLUS' own segmentation as truth."""

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
    parser = subparsers.add_parser("wires", help="six moving wires in real ultrasound (PLUS)")
    add_data_argument(parser, required=True, content="plus-tracked-ultrasound (PlusToolkit/PlusLibData, TestImages)")
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.lab.benchmarks.wire_benchmark import WIRES_FOLDER, benchmark_wires, read_wires

    check_output(arguments)
    sequence, truth = read_wires(arguments.data / WIRES_FOLDER)
    trackers = chosen_trackers(arguments)
    with TerminalProgress("benchmark", "trackers") as progress:
        result = benchmark_wires(sequence, truth, trackers, progress=progress)
    show(result, arguments)
    return 0
