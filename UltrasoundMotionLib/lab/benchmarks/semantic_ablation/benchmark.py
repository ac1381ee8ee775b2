"""`benchmark semantic-ablation`: the variants of semantically guided registration, each trained and measured alike."""

from __future__ import annotations

import argparse
import tempfile
from contextlib import nullcontext
from pathlib import Path

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_data_argument,
    add_output_arguments,
    check_arguments,
    show,
    whole_number,
)

DESCRIPTION = """The rows of Table 1 and Sec. 3.1 of Ha et al. (Sensors 2020) on public data: published, transformation
(fields composed), single-step, without-guidance, shared-weights, pre-trained, diffeomorphic, poly-affine and
bspline-flownet. Each learns for the same number of steps from the same seed and is measured on validation subjects,
which it never saw.
With --out, what is done is kept: the same command goes on where it was interrupted."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "semantic-ablation", help="variants of semantically guided registration, trained alike", description=DESCRIPTION
    )
    parser.add_argument(
        "--dataset",
        choices=("hippocampus", "cardiac"),
        default="hippocampus",
        help="random pairs (default), or ACDC's two phases",
    )
    add_data_argument(parser, content="MSD Task04 Hippocampus (images, labels), or ACDC's training patients")
    parser.add_argument(
        "--steps", metavar="N", type=whole_number, default=150, help="of training, for each variant (default 150)"
    )
    parser.add_argument(
        "--pairs", metavar="K", type=whole_number, default=20, help="to measure on, at most (default 20)"
    )
    parser.add_argument("--variants", metavar="V", nargs="+", help="by name (default: all)")
    parser.add_argument(
        "--part",
        choices=("held-out", "validation"),
        default="validation",
        help="the subjects of the pairs (default validation: a variant is chosen there, held-out subjects judge once)",
    )
    parser.add_argument(
        "--subjects", metavar="N", type=whole_number, help="learn from the first N training subjects only (default all)"
    )
    parser.add_argument("--seed", metavar="S", type=whole_number, default=1, help="of weights and batches (default 1)")
    parser.add_argument("--threads", metavar="N", type=whole_number, help="on the CPU (default: what PyTorch takes)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="keep states and rows here, and go on from them")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    import torch

    from UltrasoundMotionLib.lab.benchmarks.semantic_ablation.variants import run_semantic_ablation

    check_arguments(arguments)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    with (
        nullcontext(arguments.out) if arguments.out else tempfile.TemporaryDirectory() as out,
        TerminalProgress("ablation", "steps") as progress,
    ):
        result = run_semantic_ablation(
            arguments.dataset,
            arguments.data,
            steps=arguments.steps,
            out=out,
            pairs=arguments.pairs,
            variants=arguments.variants,
            part=arguments.part,
            seed=arguments.seed,
            subjects=arguments.subjects,
            progress=progress,
        )
    pairs = f"{result.details['pairs']} pairs of {arguments.part} subjects"
    print(f"{arguments.dataset}: {arguments.steps} steps a variant from seed {arguments.seed}, {pairs}")
    show(result, arguments)
    return 0
