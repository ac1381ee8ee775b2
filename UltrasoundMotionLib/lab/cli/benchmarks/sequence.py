"""`benchmark sequence`: dense motion of tissue, on phantoms with exact motion and on a real clip."""

from __future__ import annotations

import argparse
from pathlib import Path

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.tracking_benchmark import DIFFICULTIES, EVALUATION_SEED, KINDS
from UltrasoundMotionLib.lab.cli.benchmarks.result_output import add_output_arguments, check_output, show
from UltrasoundMotionLib.lab.cli.benchmarks.tracker_arguments import whole_number

DESCRIPTION = f"""Without --clip: end-point error of the dense field in the tissue of phantoms, beside OpenCV's DIS flow. Seeds from
{EVALUATION_SEED} on are kept for this; nothing is tuned on them. With --clip: SSMSR's Table II, mean squared error and local
cross-correlation of neighbouring frames, for `sequence`, DIS flow and methods of `register`."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("sequence", help="dense tissue motion beside optical flow", description=DESCRIPTION)
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
    parser.add_argument("--frames", metavar="T", type=whole_number, default=64, help="of each phantom (default 64)")
    parser.add_argument("--clip", metavar="INPUT", type=Path, help="a real clip, in place of phantoms")
    parser.add_argument(
        "--methods", metavar="M", nargs="*", default=(), help="with --clip: methods of `register` beside it"
    )
    parser.add_argument(
        "--pairs",
        metavar="N",
        type=whole_number,
        help="with --clip: so many pairs of frames, evenly spread (default: all)",
    )
    parser.add_argument(
        "--steps",
        metavar="N",
        type=whole_number,
        help="with --clip: the most of each scale of methods that train a network",
    )
    parser.add_argument("--device", metavar="D", default="cpu", help="cpu (default, as OpenCV's), cuda or auto")
    parser.add_argument(
        "--threads", metavar="N", type=whole_number, help="for PyTorch and OpenCV alike (default: what PyTorch takes)"
    )
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    if arguments.seed < 0:
        raise InputError(f"--seed {arguments.seed} must not be negative")
    if arguments.frames < 2:
        raise InputError("--frames must be 2 or more")
    for name in ("methods", "steps"):
        if getattr(arguments, name) and not arguments.clip:
            raise InputError(f"--{name} needs --clip")
    check_output(arguments)

    import torch

    from UltrasoundMotionLib.lab.benchmarks.opencv_peers import set_opencv_threads

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    set_opencv_threads(torch.get_num_threads())
    if arguments.clip:
        return _run_clip(arguments)

    from UltrasoundMotionLib.lab.benchmarks.sequence_benchmark import benchmark_sequence, simulated_sequences

    count = len(arguments.kind) * len(arguments.difficulty) * arguments.count
    phantoms = simulated_sequences(
        arguments.kind, arguments.difficulty, count=arguments.count, seed=arguments.seed, frame_count=arguments.frames
    )
    with TerminalProgress("benchmark", "phantoms") as progress:
        result = benchmark_sequence(phantoms, phantom_count=count, device=arguments.device, progress=progress)
    print(
        f"{count} phantoms of seed {arguments.seed}, {arguments.frames} frames, {result.threads} threads, device {result.device}"
    )
    show(result, arguments, table=result.table(markdown=arguments.markdown))
    return 0


def _run_clip(arguments: argparse.Namespace) -> int:
    from UltrasoundMotionLib.images import read_sequence
    from UltrasoundMotionLib.images.graphics_mask import without_graphics
    from UltrasoundMotionLib.json_output import write_json
    from UltrasoundMotionLib.lab.benchmarks.tissue_tracking_table import tissue_tracking_table

    clip = without_graphics(read_sequence(arguments.clip))
    with TerminalProgress("benchmark", "pairs") as progress:
        result = tissue_tracking_table(
            clip,
            arguments.methods,
            pair_count=arguments.pairs,
            steps=arguments.steps,
            device=arguments.device,
            progress=progress,
        )
    print(f"{arguments.clip.name}: {result.pair_count} pairs of neighbouring frames, device {arguments.device}")
    print(result.table(markdown=arguments.markdown))
    if arguments.json:
        write_json(arguments.json, result.as_dict())
    return 0
