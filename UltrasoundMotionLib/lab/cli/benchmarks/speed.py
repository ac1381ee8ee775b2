"""`benchmark speed`: frames per second of 48 points in images of 256 x 256."""

from __future__ import annotations

import argparse

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show
from UltrasoundMotionLib.lab.cli.benchmarks.tracker_arguments import (
    add_tracker_arguments,
    chosen_trackers,
    thread_count,
    whole_number,
)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("speed", help="frames per second of 48 points in images of 256 x 256")
    parser.add_argument(
        "--frames", metavar="T", type=whole_number, default=150, help="length of the sequence (default 150)"
    )
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.lab.benchmarks.speed_benchmark import benchmark_speed

    check_output(arguments)
    trackers = chosen_trackers(arguments)
    with TerminalProgress("benchmark", "trackers") as progress:
        result = benchmark_speed(trackers, frame_count=arguments.frames, threads=thread_count(), progress=progress)
    show(result, arguments)
    return 0
