"""`benchmark memory`: whether a long sequence takes more memory than a short one."""

from __future__ import annotations

import argparse

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.benchmarks.memory_benchmark import LONG_FRAMES, SHORT_FRAMES, benchmark_memory
from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show
from UltrasoundMotionLib.lab.cli.benchmarks.tracker_arguments import add_tracker_arguments, thread_count, whole_number


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "memory", help=f"peak memory of {LONG_FRAMES} frames against {SHORT_FRAMES}; takes minutes"
    )
    parser.add_argument(
        "--frames",
        metavar="T",
        type=whole_number,
        default=LONG_FRAMES,
        help=f"of the long sequence (default {LONG_FRAMES})",
    )
    add_tracker_arguments(parser, peers=False)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.tracking.registry import available_trackers

    check_output(arguments)
    models = [entry.name for entry in available_trackers()] if arguments.models is None else arguments.models
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_memory(
            models, long_frames=arguments.frames, threads=arguments.threads or thread_count(), progress=progress
        )
    show(result, arguments)
    return 0
