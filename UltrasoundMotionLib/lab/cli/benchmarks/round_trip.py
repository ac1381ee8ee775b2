"""`benchmark round-trip`: points of a real liver go through its breaths and back."""

from __future__ import annotations

import argparse
from dataclasses import replace

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show
from UltrasoundMotionLib.lab.cli.benchmarks.tracker_arguments import (
    add_data_argument,
    add_tracker_arguments,
    chosen_trackers,
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("round-trip", help="points of a real liver tracked to the last frame and back")
    add_data_argument(parser, required=True, content="liver-free-breathing/frames (qiaotian/VideoTracking, sample1)")
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.images import read_sequence
    from UltrasoundMotionLib.lab.benchmarks.round_trip_benchmark import (
        LIVER_FOLDER,
        LIVER_SPACING_MM,
        benchmark_round_trip,
    )

    check_output(arguments)
    sequence = replace(
        read_sequence(arguments.data / LIVER_FOLDER, spacing_mm=LIVER_SPACING_MM), name="breathing liver"
    )
    trackers = chosen_trackers(arguments)
    with TerminalProgress("benchmark", "trackers") as progress:
        result = benchmark_round_trip(sequence, trackers, progress=progress)
    show(result, arguments)
    return 0
