"""`benchmark registration`: deformable registration beside other packages, on the same pairs of public data."""

from __future__ import annotations

import argparse

from UltrasoundMotionLib.cli.benchmarks.result_output import add_output_arguments, check_output, show
from UltrasoundMotionLib.cli.benchmarks.tracker_arguments import add_data_argument, whole_number
from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress

DESCRIPTION = """Every method in a process of its own, on the same pairs, with as many threads. Labels only score. Pairs are of subjects
that no setting was chosen on, unless --tuned. The peers come with pip install "ultrasound-motion[benchmark,elastix]"; one that is
not installed is a row that says so."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("registration", help="registration beside ANTs, greedy, ConvexAdam, elastix and demons", description=DESCRIPTION)
    parser.add_argument("protocol", metavar="PROTOCOL", help="hippocampus-most-similar, hippocampus-random or acdc")
    add_data_argument(parser, required=True, content="MSD Task04 Hippocampus (images, labels), or ACDC's training patients")
    parser.add_argument("--methods", metavar="M", nargs="+", help="unregistered, peers by name, ours:NAME (default: all peers, demons, instance)")
    parser.add_argument("--pairs", metavar="N", type=whole_number, default=20, help="subjects or patients, evenly chosen (default 20)")
    parser.add_argument("--threads", metavar="N", type=whole_number, default=1, help="of every method (default 1)")
    parser.add_argument("--tuned", action="store_true", help="the subjects that settings were chosen on, rather than those left aside")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.evaluation.registration_benchmark import DEFAULT_METHODS, benchmark_registration

    check_output(arguments)
    with TerminalProgress("benchmark", "methods") as progress:
        result = benchmark_registration(
            arguments.data,
            arguments.protocol,
            methods=arguments.methods or DEFAULT_METHODS,
            pairs=arguments.pairs,
            threads=arguments.threads,
            tuned=arguments.tuned,
            progress=progress,
        )
    show(result, arguments, table=result.table(markdown=arguments.markdown))
    return 0
