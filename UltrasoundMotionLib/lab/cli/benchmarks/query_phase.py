"""`benchmark query-phase`: the phase of the beat on which points are best placed."""

from __future__ import annotations

import argparse

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.benchmarks.tracking_benchmark import DIFFICULTIES
from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show
from UltrasoundMotionLib.lab.cli.benchmarks.tracker_arguments import (
    add_tracker_arguments,
    chosen_trackers,
    whole_number,
)

TUNING_SEED = 100


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "query-phase", help="accuracy against the phase of the beat of the query frame, on phantoms"
    )
    parser.add_argument(
        "--difficulty", nargs="+", choices=DIFFICULTIES, default=("moderate", "hard"), help="default: moderate hard"
    )
    parser.add_argument(
        "--count", metavar="N", type=whole_number, default=4, help="hearts of each difficulty (default 4)"
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=int,
        default=TUNING_SEED,
        help=f"of the set of phantoms (default {TUNING_SEED}, which tunes)",
    )
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.lab.benchmarks.query_phase_benchmark import benchmark_query_phase

    check_output(arguments)
    trackers = chosen_trackers(arguments)
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_query_phase(
            trackers, difficulties=arguments.difficulty, count=arguments.count, seed=arguments.seed, progress=progress
        )
    show(result, arguments, table=result.table(markdown=arguments.markdown))
    return 0
