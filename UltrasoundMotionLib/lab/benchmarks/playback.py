"""`benchmark playback`: frames per second that a slice view draws with a result shown, by the size of the view."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.benchmarks.command import add_output_arguments, check_arguments, show
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column
from UltrasoundMotionLib.progress import Progress, no_progress

VIEW_SIZES = {"1366 x 768": (604, 630), "1600 x 1000": (755, 862)}
"""Size of the image's view in Landmark Tracking's layout with chart and table, by the size of Slicer's window."""


@dataclass(frozen=True)
class PlaybackRow:
    """Frames per second of processor time in the layout of a window."""

    window: str
    image: float
    quiet: float
    as_shown: float


COLUMNS: tuple[Column[PlaybackRow], ...] = (
    Column("window", "window"),
    Column("image alone", "image", 1, unit="frames/s"),
    Column("while playing", "quiet", 1, unit="frames/s"),
    Column("labelled and unlocked", "as_shown", 1, unit="frames/s"),
)


def benchmark_playback(*, progress: Progress = no_progress) -> BenchmarkResult[PlaybackRow]:
    """Draws 40 frames of 512 x 512 of noise with 20 landmarks, their paths and a curve in each view.

    Raises:
        MissingPackageError: slicer-core is not installed.
        OutputError: this machine has no OpenGL.
    """
    from UltrasoundMotionLib.mrml.scene_timing import measure_playback

    rows: list[PlaybackRow] = []
    for window, size in VIEW_SIZES.items():
        progress(len(rows), len(VIEW_SIZES), window)
        timing = measure_playback(size)
        rows.append(PlaybackRow(window, timing.image, timing.quiet, timing.as_shown))
    return BenchmarkResult(COLUMNS, tuple(rows))


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("playback", help="frames per second with a result shown (extra slicer)")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    with TerminalProgress("benchmark", "windows") as progress:
        result = benchmark_playback(progress=progress)
    show(result, arguments)
    return 0
