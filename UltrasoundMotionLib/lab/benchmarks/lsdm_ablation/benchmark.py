"""`benchmark lsdm-ablation`: LSDM without and with each of its parts, all trained alike (Tables S2 and S3)."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.command import (
    TUNING_SEED,
    add_output_arguments,
    add_phantom_arguments,
    check_arguments,
    show,
    whole_number,
)
from UltrasoundMotionLib.lab.phantom_cases import HARDER_HALF

DESCRIPTION = """Trains LSDM with the complete and the partial decoder, without and with EMMA, without and with the
deformation pyramid (Table S2), and with 1, 3, 5 and 10 iterations of EMMA (Table S3), each from the same seed for the
same steps, follows vessels of simulated livers, and compares the networks landmark by landmark. With --out, what is
done is kept: the same command goes on where it was interrupted."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "lsdm-ablation",
        help="LSDM with and without its parts, each trained for as long",
        description=DESCRIPTION,
    )
    parser.add_argument(
        "--clips", required=True, metavar="DIR", help="folder of phantoms' clips (train lsdm --clips makes them)"
    )
    parser.add_argument(
        "--steps",
        type=whole_number,
        default=1250,
        metavar="N",
        help="of each training (default 1250, some 10 minutes of a core)",
    )
    parser.add_argument(
        "--batch",
        type=whole_number,
        default=8,
        metavar="B",
        help="landmarks in a step, two of each three frames (default 8)",
    )
    parser.add_argument(
        "--learning-rate", type=float, default=2e-3, metavar="R", help="the cycle's highest (default 2e-3)"
    )
    parser.add_argument(
        "--switch-off",
        action="store_true",
        help="train nothing: switch off each part of the network of --start-from (default: the installed weights), and "
        "print its errors in search windows of the tuning clips, which --clips keeps in its folder tuning",
    )
    parser.add_argument("--training-seed", type=int, default=1, metavar="S", help="of weights and batches (default 1)")
    parser.add_argument(
        "--start-from",
        metavar="W.safetensors",
        help="begin with these weights, as far as a network has the same parts",
    )
    parser.add_argument("--tables", nargs="+", choices=("S2", "S3"), default=("S2", "S3"), help="default: both")
    add_phantom_arguments(parser, kinds=False, difficulties=HARDER_HALF, count=2, seed=TUNING_SEED)
    parser.add_argument("--frames", metavar="T", type=whole_number, default=200, help="of each liver (default 200)")
    parser.add_argument("--out", metavar="DIR", help="keep states and rows here, and go on from them")
    parser.add_argument("--threads", metavar="N", type=whole_number, help="on the CPU (default: what PyTorch takes)")
    parser.add_argument("--device", metavar="D", default="cpu", help="cpu (default), cuda, mps or auto")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Trains, follows, prints."""
    import torch

    from UltrasoundMotionLib.device import choose_device
    from UltrasoundMotionLib.lab.benchmarks.landmarks import landmark_cases
    from UltrasoundMotionLib.lab.benchmarks.lsdm_ablation.networks import lsdm_ablation
    from UltrasoundMotionLib.lab.training.data.landmark_sources import clip_sources
    from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
    from UltrasoundMotionLib.lab.training.landmark_recipe import LANDMARK_SETTINGS

    if arguments.batch < 4:
        raise InputError(f"--batch must be at least 4, got {arguments.batch}")
    if arguments.frames < 2:
        raise InputError("--frames 1: there is nothing to follow; take 2 or more")
    if not Path(arguments.clips).is_dir():
        raise InputError(f"--clips {arguments.clips}: no such folder")
    check_arguments(arguments)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    if arguments.switch_off:
        return _switch_off(arguments)
    training = replace(
        LANDMARK_SETTINGS,
        steps=arguments.steps,
        seed=arguments.training_seed,
        learning_rate=arguments.learning_rate,
    )
    sources = clip_sources(arguments.clips)
    with TerminalProgress("ablation", "networks") as progress:
        cases = tuple(
            landmark_cases(
                arguments.difficulty, count=arguments.count, seed=arguments.seed, frame_count=arguments.frames
            )
        )
        if not cases:
            raise InputError(
                f"--seed {arguments.seed}: no liver of this seed shows a vessel on its first frame; take another"
            )
        result = lsdm_ablation(
            sources,
            cases,
            tables=arguments.tables,
            training=training,
            batch=LandmarkBatchSettings(triples=arguments.batch // 2, landmarks=2),
            start_from=arguments.start_from,
            out=arguments.out,
            device=choose_device(arguments.device),
            progress=progress,
        )
    livers = f"{len(cases)} livers of seed {arguments.seed}, {arguments.frames} frames each"
    print(f"{len(sources)} clips, {arguments.steps} steps each; {livers}")
    show(result, arguments)
    return 0


def _switch_off(arguments: argparse.Namespace) -> int:
    from UltrasoundMotionLib.lab.benchmarks.lsdm_ablation.parts import lsdm_parts
    from UltrasoundMotionLib.lab.training.data.landmark_sources import tuning_groups
    from UltrasoundMotionLib.tracking.registry import find_tracker
    from UltrasoundMotionLib.tracking.trackers.lsdm.network import Lsdm
    from UltrasoundMotionLib.weights import load_network

    entry = find_tracker("lsdm")
    assert entry.network is not None
    network = load_network(arguments.start_from or "lsdm", entry.network).network
    assert isinstance(network, Lsdm)
    with TerminalProgress("parts", "parts") as progress:
        result = lsdm_parts(network, tuning_groups(Path(arguments.clips) / "tuning"), progress=progress)
    show(result, arguments)
    return 0
