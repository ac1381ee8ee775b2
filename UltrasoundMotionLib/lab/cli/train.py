"""`train`: makes the weights of the trackers and registration methods that need some."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.cli import train_registration
from UltrasoundMotionLib.lab.cli.train_landmarks import add_parsers as add_landmark_parsers


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "train", help="train the networks of trackers", description="Trains the network of a tracker."
    )
    models = parser.add_subparsers(dest="network", metavar="NETWORK", required=True)
    add_landmark_parsers(models)
    specknet = models.add_parser(
        "specknet",
        help="the point tracker SpeckNet",
        description=(
            "Trains SpeckNet on phantoms with exact trajectories and on real frames warped by analytic motion. Leaves specknet.safetensors, log.csv, "
            "log.png (extra plot) and state.pt (for --resume) in the folder. The same seed gives the same weights on the same machine."
        ),
    )
    specknet.add_argument(
        "--out", required=True, metavar="DIR", help="folder for the weights, the log and the state to resume from"
    )
    specknet.add_argument("--steps", type=int, default=6000, metavar="N", help="steps of the optimizer (default 6000)")
    specknet.add_argument("--seed", type=int, default=1, metavar="S", help="of everything random (default 1)")
    specknet.add_argument(
        "--data",
        nargs="*",
        default=[],
        metavar="PATH",
        help="real sequences, or folders of images, whose frames are warped",
    )
    specknet.add_argument("--every", type=int, default=5, metavar="N", help="take every Nth frame of them (default 5)")
    specknet.add_argument(
        "--clips",
        metavar="DIR",
        help="folder that keeps phantoms' clips; those missing are made first (default DIR of --out/clips)",
    )
    specknet.add_argument(
        "--phantoms", type=int, default=200, metavar="N", help="how many clips of phantoms to learn from (default 200)"
    )
    specknet.add_argument(
        "--speckle-share",
        type=float,
        default=0.0,
        metavar="P",
        help="part of the clips that are simulated on the device while training: muscle, kidney, right ventricle, vessels (default 0; slow on a CPU)",
    )
    specknet.add_argument(
        "--start-with",
        type=int,
        metavar="N",
        help="clips to make before training; another process makes the rest (default: all)",
    )
    specknet.add_argument(
        "--preset",
        choices=("ours", "published"),
        default="ours",
        help="published: only what the paper tells, so without cross-entropy (default ours)",
    )
    specknet.add_argument(
        "--motion",
        choices=("impartial", "baseline"),
        default="impartial",
        help="baseline: clips move as they are (default impartial)",
    )
    specknet.add_argument(
        "--full-part",
        type=float,
        default=0.15,
        metavar="P",
        help="last part of the steps with whole inputs, not crops (default 0.15)",
    )
    specknet.add_argument("--device", default="auto", metavar="NAME", help="auto, cpu, cuda, ... (default auto)")
    specknet.add_argument("--threads", type=int, metavar="N", help="threads on the CPU")
    specknet.add_argument(
        "--start-from",
        metavar="W.safetensors",
        type=Path,
        help="weights to begin with, for a further cycle of training",
    )
    specknet.add_argument(
        "--learning-rate", type=float, default=5e-4, metavar="R", help="the cycle's highest (default 5e-4)"
    )
    specknet.add_argument(
        "--warped-share",
        type=float,
        default=0.2,
        metavar="P",
        help="part of the clips that are warped real frames (default 0.2)",
    )
    specknet.add_argument("--resume", action="store_true", help="go on from the state in --out")
    specknet.add_argument(
        "--validate-every",
        type=int,
        default=500,
        metavar="N",
        help="steps between validations on the tuning phantoms; 0 is never",
    )
    specknet.add_argument("--quiet", action="store_true", help="no progress")
    specknet.set_defaults(run=run)
    train_registration.add_parsers(models)


def run(arguments: argparse.Namespace) -> int:
    """Trains, and says where the weights are."""
    from dataclasses import replace

    import torch

    from UltrasoundMotionLib.device import choose_device
    from UltrasoundMotionLib.errors import InputError
    from UltrasoundMotionLib.lab.training.motion_augmentation import NO_MOTION
    from UltrasoundMotionLib.lab.training.phantom_clips import clips_in_background, write_phantom_clips
    from UltrasoundMotionLib.lab.training.specknet_training import (
        LOG_NAME,
        WEIGHTS_NAME,
        TrainingConfig,
        published_config,
        train_specknet,
    )
    from UltrasoundMotionLib.lab.training.training_plot import write_training_plot
    from UltrasoundMotionLib.lab.training.validation import validation_cases
    from UltrasoundMotionLib.lab.training.warped_clips import read_real_frames

    for name in ("full_part", "speckle_share", "warped_share"):
        if not 0 <= getattr(arguments, name) <= 1:
            raise InputError(f"--{name.replace('_', '-')} must lie between 0 and 1, got {getattr(arguments, name)}")
    if not arguments.learning_rate > 0:
        raise InputError(f"--learning-rate must be above 0, got {arguments.learning_rate}")
    if arguments.phantoms < 0:
        raise InputError(f"--phantoms must not be negative, got {arguments.phantoms}")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    out = Path(arguments.out)
    folder = Path(arguments.clips or out / "clips")
    first = arguments.phantoms if arguments.start_with is None else min(arguments.start_with, arguments.phantoms)
    with TerminalProgress("simulating", "clips", quiet=arguments.quiet) as progress:
        write_phantom_clips(folder, first, arguments.seed, progress=progress)
    real = read_real_frames(arguments.data, every=arguments.every)
    changes = {
        "steps": arguments.steps,
        "seed": arguments.seed,
        "validate_every": max(1, arguments.validate_every),
        "learning_rate": arguments.learning_rate,
    }
    if arguments.preset == "published":
        config = published_config(**changes)
    else:
        config = replace(TrainingConfig(), crops=((1 - arguments.full_part, 256), (1.0, 512)), **changes)
    # All clips are drawn from by half of the steps, however quickly they are made: so the weights depend on the seed
    # alone.
    growth = (arguments.phantoms - first) / max(1.0, arguments.steps / 2)
    config = replace(
        config,
        batch=replace(
            config.batch,
            clips_at_start=first,
            clips_per_step=growth,
            speckle_share=arguments.speckle_share,
            warped_share=arguments.warped_share,
        ),
    )
    if arguments.motion == "baseline":
        config = replace(config, batch=replace(config.batch, motion=NO_MOTION))
    with (
        clips_in_background(folder, arguments.phantoms, arguments.seed, first) as clips,
        TerminalProgress("training", "steps", quiet=arguments.quiet) as progress,
    ):
        train_specknet(
            out,
            clips,
            real,
            config=config,
            device=choose_device(arguments.device),
            resume=arguments.resume,
            start_from=arguments.start_from,
            validation=validation_cases if arguments.validate_every > 0 else None,
            progress=progress,
        )
    print(f"wrote {out / WEIGHTS_NAME}")
    if find_spec("matplotlib") is not None:
        write_training_plot(out / "log.png", out / LOG_NAME)
        print(f"wrote {out / 'log.png'}")
    return 0
