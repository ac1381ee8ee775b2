"""`benchmark ablation`: what each part of the tracker `specknet` gives."""

from __future__ import annotations

import argparse
from pathlib import Path

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.benchmarks.tracking_benchmark import (
    DIFFICULTIES,
    KINDS,
    MOST_POINTS,
    benchmark_tracking,
    phantom_cases,
)
from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show
from UltrasoundMotionLib.lab.cli.benchmarks.tracker_arguments import thread_count, whole_number

TUNING_SEED = 100


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "ablation",
        help="the parts of the tracker specknet, one after the other",
        description="Follows phantoms' tissue with SpeckNet as published and with one part of the tracker specknet after the other.",
    )
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=KINDS, help="phantoms (default: all)")
    parser.add_argument("--difficulty", nargs="+", choices=DIFFICULTIES, default=DIFFICULTIES, help="default: all")
    parser.add_argument(
        "--count", metavar="N", type=whole_number, default=3, help="phantoms of each kind and difficulty (default 3)"
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=whole_number,
        default=TUNING_SEED,
        help=f"of the set of phantoms (default {TUNING_SEED})",
    )
    parser.add_argument(
        "--points",
        metavar="N",
        type=whole_number,
        default=MOST_POINTS,
        help=f"of a phantom, at most (default {MOST_POINTS})",
    )
    parser.add_argument(
        "--weights", metavar="CARD", type=Path, help="model card of other weights than the shipped ones"
    )
    parser.add_argument("--device", metavar="D", default="cpu", help="cpu (default), cuda, mps or auto")
    add_output_arguments(parser)
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.device import choose_device
    from UltrasoundMotionLib.lab.benchmarks.specknet_ablation import ablation_trackers

    check_output(arguments)
    trackers = ablation_trackers(choose_device(arguments.device), arguments.weights)
    cases = phantom_cases(
        arguments.kind, arguments.difficulty, count=arguments.count, seed=arguments.seed, most_points=arguments.points
    )
    case_count = len(arguments.kind) * len(arguments.difficulty) * arguments.count
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_tracking(cases, trackers, case_count=case_count, threads=thread_count(), progress=progress)
    print(f"{case_count} phantoms of seed {arguments.seed}, {result.threads} threads, device {arguments.device}")
    show(result, arguments, table=result.table(markdown=arguments.markdown))
    return 0
