"""`benchmark registration`: deformable registration beside other packages, on the same pairs of public data."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show
from UltrasoundMotionLib.lab.cli.benchmarks.tracker_arguments import add_data_argument, whole_number

DESCRIPTION = """Every method in a process of its own, on the same pairs, with as many threads; each pair is told as it is done. Labels only score.
Protocols: hippocampus-most-similar, hippocampus-random, hippocampus-one-atlas (all at 1 mm, 48 x 64 x 48), acdc (end-systole onto end-diastole,
native grids) and acdc-published (the same at 1.56 mm, 128 x 128 x 64). --part says whose pairs: of those that no setting of the methods without
training was chosen on (left-aside, the default; tuned are the others), or the learned methods' train, validation and held-out.
The peers come with pip install "ultrasound-motion[benchmark,elastix]"; one that is not installed is a row that says so."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "registration", help="registration beside ANTs, greedy, ConvexAdam, elastix and demons", description=DESCRIPTION
    )
    parser.add_argument("protocol", metavar="PROTOCOL", help="see above")
    add_data_argument(
        parser, required=True, content="MSD Task04 Hippocampus (images, labels), or ACDC's training patients"
    )
    parser.add_argument(
        "--methods",
        metavar="M",
        nargs="+",
        help="unregistered, peers by name, ours:NAME, ours:NAME:SETTING=VALUE,... as ours:semantic:refine=no (default: all peers, demons, instance)",
    )
    parser.add_argument(
        "--pairs", metavar="N", type=whole_number, default=20, help="subjects or patients, evenly chosen (default 20)"
    )
    parser.add_argument("--threads", metavar="N", type=whole_number, default=1, help="of every method (default 1)")
    parser.add_argument(
        "--part", metavar="P", default="left-aside", help="left-aside (default), tuned, train, validation or held-out"
    )
    parser.add_argument(
        "--atlas", metavar="SUBJECT", help="of hippocampus-one-atlas (default: that of the shipped LT-Net)"
    )
    parser.add_argument(
        "--rows",
        metavar="R.jsonl",
        type=Path,
        help="keep each pair's row here as it is done; pairs that are there already are not run again",
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.lab.benchmarks.registration_benchmark import DEFAULT_METHODS, benchmark_registration

    check_output(arguments)
    methods = arguments.methods or DEFAULT_METHODS

    def tell(line: str) -> None:
        if line.startswith(tuple(f"{method}: " for method in methods)):
            print(line, file=sys.stderr, flush=True)

    result = benchmark_registration(
        arguments.data,
        arguments.protocol,
        methods=methods,
        pairs=arguments.pairs,
        threads=arguments.threads,
        part=arguments.part,
        atlas=arguments.atlas,
        rows=arguments.rows,
        on_line=tell,
    )
    show(result, arguments, table=result.table(markdown=arguments.markdown))
    return 0
