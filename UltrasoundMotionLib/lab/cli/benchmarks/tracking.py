"""`benchmark tracking`: our trackers and OpenCV's on the same phantoms."""

from __future__ import annotations

import argparse

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.tracking_benchmark import (
    DIFFICULTIES,
    EVALUATION_SEED,
    KINDS,
    MOST_POINTS,
    benchmark_tracking,
    phantom_cases,
)
from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show
from UltrasoundMotionLib.lab.cli.benchmarks.tracker_arguments import (
    add_tracker_arguments,
    chosen_trackers,
    thread_count,
    whole_number,
)

DESCRIPTION = f"""Simulates beating hearts and breathing livers of graded difficulty and follows their tissue with every tracker.
Pixel errors are those of images resized to 256 x 256. Seeds from {EVALUATION_SEED} on are kept for this; nothing is tuned on them."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("tracking", help="trackers on phantoms with known motion", description=DESCRIPTION)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS, help="phantoms (default: all)")
    parser.add_argument("--difficulty", nargs="+", choices=DIFFICULTIES, default=DIFFICULTIES, help="default: all")
    parser.add_argument(
        "--count", metavar="N", type=whole_number, default=4, help="phantoms of each kind and difficulty (default 4)"
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=int,
        default=EVALUATION_SEED,
        help=f"of the set of phantoms (default {EVALUATION_SEED})",
    )
    parser.add_argument(
        "--points",
        metavar="N",
        type=whole_number,
        default=MOST_POINTS,
        help=f"at most so many of a phantom's points (default {MOST_POINTS})",
    )
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    if arguments.seed < 0:
        raise InputError(f"--seed {arguments.seed} must not be negative")
    check_output(arguments)
    trackers = chosen_trackers(arguments)
    cases = phantom_cases(
        arguments.kind, arguments.difficulty, count=arguments.count, seed=arguments.seed, most_points=arguments.points
    )
    case_count = len(arguments.kind) * len(arguments.difficulty) * arguments.count
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_tracking(cases, trackers, case_count=case_count, threads=thread_count(), progress=progress)
    print(f"{case_count} phantoms of seed {arguments.seed}, {result.threads} threads, device {arguments.device}")
    show(result, arguments, table=result.table(markdown=arguments.markdown))
    return 0
