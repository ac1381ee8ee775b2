"""`benchmark scene`: how long a large Slicer scene takes to build and to save."""

from __future__ import annotations

import argparse

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("scene", help="seconds to build and to save a large Slicer scene (extra slicer)")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.lab.benchmarks.scene_benchmark import benchmark_scene

    check_output(arguments)
    with TerminalProgress("benchmark", "steps") as progress:
        result = benchmark_scene(progress=progress)
    show(result, arguments)
    return 0
