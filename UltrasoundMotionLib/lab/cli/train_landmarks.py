"""`train siamfc`, `train siamrpn` and what else `training/landmarks/objectives.py` names: makes the weights of landmark
trackers.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.landmarks.landmark_sources import LandmarkSource
    from UltrasoundMotionLib.lab.training.landmarks.landmark_training import TrainedLandmarks

NETWORKS = {
    "siamfc": "the landmark tracker SiamFC (Bertinetto et al. 2016)",
    "siamrpn": "the landmark tracker SiamRPN (Li et al. 2018)",
    "lsdm": "the landmark tracker LSDM (Liu et al.)",
}
STEPS = {"siamfc": 2000, "siamrpn": 2500, "lsdm": 2500}


def add_parsers(models: argparse._SubParsersAction) -> None:
    """Adds a network each."""
    for name, summary in NETWORKS.items():
        parser = models.add_parser(
            name,
            help=summary,
            description=(
                f"Trains {summary} on phantoms with exact trajectories, folders in CLUST's layout and real frames warped by analytic motion. Leaves "
                f"{name}.safetensors with a draft of its card, log.csv and state.pt (for --resume) in the folder. The same seed gives the same "
                "weights on the same machine."
            ),
        )
        parser.add_argument(
            "--out", required=True, metavar="DIR", help="folder for the weights, the log and the state to resume from"
        )
        parser.add_argument(
            "--clips",
            metavar="DIR",
            help="folder that keeps phantoms' clips; those missing are made first (default: --out/clips)",
        )
        parser.add_argument(
            "--phantoms",
            type=int,
            default=200,
            metavar="N",
            help="how many clips of phantoms to learn from (default 200; 0: none)",
        )
        parser.add_argument(
            "--clust",
            nargs="*",
            default=[],
            metavar="DIR",
            help="sequence folders in CLUST's layout, or folders of them",
        )
        parser.add_argument(
            "--data",
            nargs="*",
            default=[],
            metavar="PATH",
            help="real sequences, or folders of images, whose frames are warped",
        )
        parser.add_argument(
            "--every", type=int, default=5, metavar="N", help="take every Nth frame of them (default 5)"
        )
        parser.add_argument(
            "--steps",
            type=int,
            default=STEPS[name],
            metavar="N",
            help=f"steps of the optimizer (default {STEPS[name]})",
        )
        parser.add_argument(
            "--batch", type=int, default=16, metavar="B", help="landmarks in a step, a multiple of four (default 16)"
        )
        parser.add_argument(
            "--learning-rate", type=float, default=1e-3, metavar="R", help="the cycle's highest (default 1e-3)"
        )
        parser.add_argument("--seed", type=int, default=1, metavar="S", help="of everything random (default 1)")
        parser.add_argument(
            "--variant", metavar="NAME", help="of the network or what it learns; siamfc and siamrpn have: published"
        )
        parser.add_argument(
            "--leave-out",
            nargs="+",
            default=[],
            metavar="GROUP",
            help="in-house validation: train without each of these groups in turn (CIL, ETH ... of CLUST; heart, liver, liver-hard ... of phantoms) "
            "into --out/without-GROUP, and print the error on what was left out",
        )
        parser.add_argument(
            "--start-from",
            metavar="W.safetensors",
            help="weights to begin with; those of siamfc for the embedding of siamrpn",
        )
        parser.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, ... (default auto)")
        parser.add_argument("--threads", type=int, metavar="N", help="threads on the CPU")
        parser.add_argument("--resume", action="store_true", help="go on from the state in --out")
        parser.add_argument(
            "--validate-every",
            type=int,
            default=500,
            metavar="N",
            help="steps between validations on tuning phantoms; 0: never",
        )
        parser.add_argument("--quiet", action="store_true", help="no progress")
        parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Trains, once or once for each group left out, and says where the weights are."""
    import torch

    from UltrasoundMotionLib.device import choose_device
    from UltrasoundMotionLib.errors import InputError
    from UltrasoundMotionLib.lab.training.landmarks.landmark_sources import leave_out
    from UltrasoundMotionLib.lab.training.landmarks.landmark_validation import (
        by_difficulty,
        leave_out_table,
        tuning_sources,
    )

    if arguments.batch < 4 or arguments.batch % 4:
        raise InputError(f"--batch must be a multiple of four, got {arguments.batch}")
    if arguments.phantoms < 0:
        raise InputError(f"--phantoms must not be negative, got {arguments.phantoms}")
    if not arguments.learning_rate > 0:
        raise InputError(f"--learning-rate must be above 0, got {arguments.learning_rate}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.device = choose_device(arguments.device)
    out = Path(arguments.out)
    clips = Path(arguments.clips or out / "clips")
    sources = _sources(arguments, clips)
    if arguments.leave_out:
        splits = [(group, *leave_out(sources, group)) for group in arguments.leave_out]
        rows = []
        for group, kept, held in splits:
            groups = {"held out": held, "learnt from": kept}
            rows.append(
                (group, *_train(arguments, out / f"without-{group}", kept, groups, f"--leave-out {group}").errors)
            )
        print(leave_out_table(rows))
        return 0
    groups = {}
    if arguments.validate_every > 0:
        with TerminalProgress("simulating", "clips", quiet=arguments.quiet) as progress:
            groups = by_difficulty(tuning_sources(clips / "tuning", progress=progress))
    trained = _train(arguments, out, sources, groups, "")
    for errors in trained.errors:
        print(errors.as_text())
    print(f"wrote {out / (arguments.network + '.safetensors')}")
    return 0


def _sources(arguments: argparse.Namespace, clips: Path) -> tuple[LandmarkSource, ...]:
    from UltrasoundMotionLib.lab.training.landmarks.landmark_sources import ClipSource, WarpedSource, clust_sources
    from UltrasoundMotionLib.lab.training.phantom_clips import write_phantom_clips
    from UltrasoundMotionLib.lab.training.warped_clips import read_real_frames

    with TerminalProgress("simulating", "clips", quiet=arguments.quiet) as progress:
        paths = (
            write_phantom_clips(clips, arguments.phantoms, arguments.seed, progress=progress)
            if arguments.phantoms
            else ()
        )
    annotated = [source for folder in arguments.clust for source in clust_sources(folder)]
    warped = [WarpedSource(frame) for frame in read_real_frames(arguments.data, every=arguments.every)]
    return (*(ClipSource(path) for path in paths), *annotated, *warped)


def _train(
    arguments: argparse.Namespace,
    out: Path,
    sources: tuple[LandmarkSource, ...],
    groups: dict[str, tuple[LandmarkSource, ...]],
    left_out: str,
) -> TrainedLandmarks:
    from dataclasses import replace

    import torch

    from UltrasoundMotionLib.lab.training.landmarks.landmark_training import LandmarkTrainingConfig, train_landmarks
    from UltrasoundMotionLib.lab.training.landmarks.objectives import OBJECTIVES
    from UltrasoundMotionLib.weights import ModelCard

    torch.manual_seed(arguments.seed)
    objective = OBJECTIVES[arguments.network](arguments.variant)
    config = LandmarkTrainingConfig(
        steps=arguments.steps,
        seed=arguments.seed,
        learning_rate=arguments.learning_rate,
        validate_every=max(1, arguments.validate_every),
    )
    config = replace(config, batch=replace(config.batch, triples=arguments.batch // 4))
    card = ModelCard(
        name=arguments.network,
        architecture=objective.architecture,
        configuration=objective.configuration(),
        task="follows landmarks of one ultrasound frame through the clip, each in a window around it",
        trained_on=_trained_on(arguments, left_out),
        command=_command(arguments, left_out),
        seed=arguments.seed,
        commit="",
        measured={},
        measured_with="printed by the training command: distance in search windows of liver phantoms of the tuning seed 100, px at 256 x 256",
        limits="B-mode clips in which a landmark moves by less than 24 px at 256 x 256 from frame to frame. Not for clinical use.",
    )
    with TerminalProgress("training", "steps", quiet=arguments.quiet) as progress:
        return train_landmarks(
            out,
            objective,
            sources,
            config=config,
            groups=groups,
            card=card,
            device=arguments.device,
            resume=arguments.resume,
            start_from=arguments.start_from,
            progress=progress,
        )


def _trained_on(arguments: argparse.Namespace, left_out: str) -> tuple[str, ...]:
    parts = []
    if arguments.phantoms:
        parts.append(
            f"{arguments.phantoms} simulated clips of livers (70 % of what was seen) and hearts, phantom seeds drawn from 200 to 8999"
        )
    parts += [f"annotated frames of {folder}" for folder in arguments.clust]
    parts += [f"real frames warped by analytic motion: {path}" for path in arguments.data]
    return (*parts, *([left_out] if left_out else []))


def _command(arguments: argparse.Namespace, left_out: str) -> str:
    words = [
        f"ultrasound-motion train {arguments.network} --out OUT --phantoms {arguments.phantoms} --steps {arguments.steps}"
    ]
    words += [f"--batch {arguments.batch} --learning-rate {arguments.learning_rate:g} --seed {arguments.seed}"]
    words += [f"--variant {arguments.variant}"] if arguments.variant else []
    words += [f"--start-from {arguments.start_from}"] if arguments.start_from else []
    words += [f"--clust {' '.join(arguments.clust)}"] if arguments.clust else []
    words += [f"--data {' '.join(arguments.data)} --every {arguments.every}"] if arguments.data else []
    return " ".join(words + ([left_out] if left_out else []))
