"""The commands `benchmark ssmsr-segmentation` and `benchmark ssmsr-tracking`."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.device import choose_device
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_data_argument,
    add_output_arguments,
    check_against,
    check_arguments,
    show,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.ssmsr.echo_folder import MYOCARDIUM, TISSUES
from UltrasoundMotionLib.lab.benchmarks.ssmsr.published import SSMSR
from UltrasoundMotionLib.lab.benchmarks.ssmsr.segmentation import PARTS, RANDOM_PART, ROWS, SegmentationOptions
from UltrasoundMotionLib.lab.benchmarks.ssmsr.tracking import ROWS as TRACKING_ROWS
from UltrasoundMotionLib.lab.benchmarks.ssmsr.tracking import TrackingOptions

SEGMENTATION = """Table I of Zhu et al. (SSMSR): every test image gets the labels of the training image that is most
similar to it after VoxelMorph's registration, carried by every method. VoxelMorph, NeurReg and the start of SSMSR are
trained on the training images first. Without --steps and --training-steps as published: days on a graphics card, weeks
on processors. With --out kept, the same command goes on where it was interrupted."""

TRACKING = """Table II of Zhu et al. (SSMSR): how alike a frame and the one before it become, in the tissue (myocardium)
or in the blood of contrast echocardiograms. DIR/PATIENT/CLIP is a clip (or a folder of images); blood needs masks
DIR/PATIENT/CLIP.blood-FRAME.png at the ends of diastole and systole. Three patients are tested, the others train
VoxelMorph and the start of SSMSR; one network is optimised for a whole test clip. With --out kept, the same command
goes on where it was interrupted."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds both benchmarks."""
    parser = subparsers.add_parser(
        "ssmsr-segmentation", help="SSMSR's Table I: hippocampi segmented by one atlas", description=SEGMENTATION
    )
    add_data_argument(parser, content="MSD Task04 Hippocampus (images, labels)")
    parser.add_argument(
        "--methods", metavar="M", nargs="+", default=ROWS, help=f"{', '.join(ROWS)} (default: all), or ours:NAME"
    )
    parser.add_argument(
        "--part",
        choices=PARTS,
        default=RANDOM_PART,
        help="the test images: random (default: a fifth, as published), validation or held-out",
    )
    parser.add_argument("--images", metavar="N", type=whole_number, help="test N images, evenly chosen (default: all)")
    parser.add_argument("--subjects", metavar="N", type=whole_number, help="train on the first N only (default: all)")
    _add_training_arguments(parser)
    add_output_arguments(parser, against=SSMSR)
    parser.set_defaults(run=run_segmentation_command)

    parser = subparsers.add_parser(
        "ssmsr-tracking", help="SSMSR's Table II: dense tracking in echocardiograms", description=TRACKING
    )
    add_data_argument(parser, content="a folder of clips for each patient")
    parser.add_argument("--tissue", choices=TISSUES, default=MYOCARDIUM, help="myocardium (default) or blood")
    parser.add_argument(
        "--methods", metavar="M", nargs="+", default=TRACKING_ROWS, help=f"{', '.join(TRACKING_ROWS)}, or ours:NAME"
    )
    parser.add_argument(
        "--test-patients", metavar="P", nargs="+", default=(), help="by name (default: three, drawn by the seed)"
    )
    parser.add_argument("--frames", metavar="T", type=whole_number, help="the first T of each test clip (default all)")
    parser.add_argument(
        "--pictures", metavar="DIR", type=Path, help="draw a pair of frames of each test clip by every method here"
    )
    _add_training_arguments(parser)
    add_output_arguments(parser, against=SSMSR)
    parser.set_defaults(run=run_tracking_command)


def _add_training_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="keeps trainings and rows")
    parser.add_argument(
        "--steps", metavar="N", type=whole_number, default=3500, help="of test-time training, each scale (default 3500)"
    )
    parser.add_argument(
        "--training-steps",
        metavar="N",
        type=whole_number,
        help="of the training before (default: 3500 for each training image or sequence; NeurReg: 1500)",
    )
    parser.add_argument("--seed", metavar="S", type=whole_number, default=1, help="of everything random (default 1)")
    parser.add_argument("--device", metavar="D", default="auto", help="of the networks (default auto)")
    parser.add_argument("--threads", metavar="N", type=whole_number, default=1, help="on the CPU (default 1)")


def _prepare(arguments: argparse.Namespace) -> None:
    """Checks arguments and sets the number of threads of PyTorch and of ITK, which reads it when it is loaded."""
    import torch

    check_arguments(arguments)
    check_against(arguments, arguments.methods)
    arguments.out.mkdir(parents=True, exist_ok=True)
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(arguments.threads)
    torch.set_num_threads(arguments.threads)


def run_segmentation_command(arguments: argparse.Namespace) -> int:
    """Runs and prints Table I."""
    from UltrasoundMotionLib.lab.benchmarks.ssmsr.segmentation import run_segmentation

    _prepare(arguments)
    options = SegmentationOptions(
        part=arguments.part,
        images=arguments.images,
        subjects=arguments.subjects,
        steps=arguments.steps,
        training_steps=arguments.training_steps,
        seed=arguments.seed,
        device=choose_device(arguments.device),
    )
    with TerminalProgress("benchmark", "steps") as progress:
        result = run_segmentation(arguments.data, arguments.out, arguments.methods, options, progress=progress)
    counts = f"{result.details['test_subjects']} test and {result.details['training_subjects']} training subjects"
    print(f"{arguments.data.name}: {counts}, part {options.part}, {options.steps} steps a scale")
    show(result, arguments)
    return 0


def run_tracking_command(arguments: argparse.Namespace) -> int:
    """Runs and prints Table II."""
    from UltrasoundMotionLib.lab.benchmarks.ssmsr.tracking import run_tracking

    _prepare(arguments)
    if arguments.pictures:
        arguments.pictures.mkdir(parents=True, exist_ok=True)
    options = TrackingOptions(
        tissue=arguments.tissue,
        test_patients=tuple(arguments.test_patients),
        frames=arguments.frames,
        steps=arguments.steps,
        training_steps=arguments.training_steps,
        seed=arguments.seed,
        device=choose_device(arguments.device),
    )
    with TerminalProgress("benchmark", "steps") as progress:
        result = run_tracking(
            arguments.data, arguments.out, arguments.methods, options, pictures=arguments.pictures, progress=progress
        )
    counts = f"{result.details['test_clips']} test and {result.details['training_clips']} training clips"
    print(f"{arguments.data.name}: {counts}, {options.tissue}, {options.steps} steps a scale and clip")
    show(result, arguments)
    return 0
