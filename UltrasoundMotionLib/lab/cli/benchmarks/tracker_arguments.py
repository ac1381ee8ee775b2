"""The arguments by which benchmarks choose trackers, peers, device and threads."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.benchmarks.benchmark_trackers import BenchmarkTracker


def add_tracker_arguments(parser: argparse.ArgumentParser, *, peers: bool = True) -> None:
    """`--models`, `--peers`, `--device` and `--threads`."""
    parser.add_argument("--models", metavar="M", nargs="*", help="our trackers by name (default: all of `models list`)")
    if peers:
        parser.add_argument(
            "--peers",
            metavar="P",
            nargs="*",
            help="trackers of OpenCV by name (default: all; none when nothing follows)",
        )
        parser.add_argument(
            "--device",
            metavar="D",
            default="cpu",
            help="of our trackers: cpu (default, as OpenCV's), cuda, mps or auto",
        )
    parser.add_argument(
        "--threads", metavar="N", type=whole_number, help="for PyTorch and OpenCV alike (default: what PyTorch takes)"
    )


def add_data_argument(parser: argparse.ArgumentParser, *, required: bool, content: str) -> None:
    """`--data`, the folder of data sets that this repository does not carry."""
    parser.add_argument("--data", metavar="DIR", type=Path, required=required, help=f"folder that holds {content}")


def chosen_trackers(arguments: argparse.Namespace) -> tuple[BenchmarkTracker, ...]:
    """The trackers asked for, with threads set.

    Raises:
        InputError: see `benchmark_trackers`; or none was asked for.
    """
    from UltrasoundMotionLib.lab.benchmarks.benchmark_trackers import benchmark_trackers

    trackers = benchmark_trackers(arguments.models, arguments.peers, device=arguments.device, threads=arguments.threads)
    if not trackers:
        raise InputError("no tracker to run: --models and --peers are both empty")
    return trackers


def thread_count() -> int:
    """PyTorch's number of threads."""
    import torch

    return torch.get_num_threads()


def whole_number(text: str) -> int:
    """An argument that must be a whole number above zero."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)
