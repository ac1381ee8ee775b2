"""`benchmark strain`: GLS and segments from tracks, on phantoms with known strain."""

from __future__ import annotations

import argparse

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.tracking_benchmark import DIFFICULTIES, EVALUATION_SEED
from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show
from UltrasoundMotionLib.lab.cli.benchmarks.tracker_arguments import (
    add_tracker_arguments,
    chosen_trackers,
    thread_count,
    whole_number,
)

DESCRIPTION = f"""Simulates beating hearts of graded difficulty, follows their wall with every tracker, and compares global and segmental strain
(longitudinal, of the mid-wall) with the truth, in percent points. Seeds from {EVALUATION_SEED} on are kept for this; nothing is tuned on them."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("strain", help="strain on phantoms with known strain", description=DESCRIPTION)
    parser.add_argument("--difficulty", nargs="+", choices=DIFFICULTIES, default=DIFFICULTIES, help="default: all")
    parser.add_argument(
        "--count", metavar="N", type=whole_number, default=3, help="phantoms of each difficulty (default 3)"
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=int,
        default=EVALUATION_SEED,
        help=f"of the set of phantoms (default {EVALUATION_SEED})",
    )
    parser.add_argument(
        "--layers",
        type=int,
        choices=(1, 3),
        default=3,
        help="contours that are tracked; strain is the middle one's (default 3)",
    )
    parser.add_argument(
        "--query-frames",
        metavar="N",
        type=whole_number,
        default=4,
        help="frames on which the contour is given in turn (default 4)",
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

    from UltrasoundMotionLib.lab.benchmarks.strain_benchmark import benchmark_strain
    from UltrasoundMotionLib.lab.benchmarks.strain_cases import strain_cases

    case_count = len(arguments.difficulty) * arguments.count
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_strain(
            strain_cases(arguments.difficulty, count=arguments.count, seed=arguments.seed),
            trackers,
            layer_count=arguments.layers,
            query_frame_count=arguments.query_frames,
            case_count=case_count,
            threads=thread_count(),
            progress=progress,
        )
    print(
        f"{case_count} hearts of seed {arguments.seed}, {arguments.layers} contours, {result.threads} threads, device {arguments.device}"
    )
    show(result, arguments, table=result.table(markdown=arguments.markdown))
    return 0
