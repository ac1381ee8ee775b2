"""`benchmark speed`: frames per second of 48 points in images of 256 x 256, ours and the peers in one run."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_output_arguments,
    add_tracker_arguments,
    check_arguments,
    chosen_trackers,
    show,
    thread_count,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.swaying_speckle import SwayingSpeckle
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column, Target
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker, run_timed, same_points
from UltrasoundMotionLib.progress import Progress, no_progress

SIZE_PX = 256
POINT_COUNT = 48
GOAL_FPS = 60.0
RUNS = 3


@dataclass(frozen=True)
class SpeedRow:
    """Frames per second: the median of the runs, the slowest and the quickest."""

    tracker: str
    ours: bool
    median_fps: float
    min_fps: float
    max_fps: float


COLUMNS: tuple[Column[SpeedRow], ...] = (
    Column("tracker", "tracker", names_method=True),
    Column("median", "median_fps", 1, unit="fps"),
    Column("slowest", "min_fps", 1),
    Column("quickest", "max_fps", 1),
)


def speed_targets(rows: Sequence[SpeedRow], threads: int) -> tuple[Target, ...]:
    """At least 60 frames a second, for our trackers."""
    return tuple(
        Target(
            f"{POINT_COUNT} points, {SIZE_PX} x {SIZE_PX}, {threads} threads: {row.tracker}",
            f"at least {GOAL_FPS:g} frames/s",
            f"{row.median_fps:.1f}",
            row.median_fps >= GOAL_FPS,
        )
        for row in rows
        if row.ours
    )


def benchmark_speed(
    trackers: Sequence[BenchmarkTracker], *, frame_count: int = 150, threads: int = 1, progress: Progress = no_progress
) -> BenchmarkResult[SpeedRow]:
    """Times each tracker three times over `frame_count` frames, after a short run that is not counted; the query
    frame's own work is counted.
    """
    points = np.stack(np.meshgrid(np.linspace(40, SIZE_PX - 40, 8), np.linspace(40, SIZE_PX - 40, 6)), axis=-1).reshape(
        1, POINT_COUNT, 2
    )
    sequence = _speckle(frame_count)
    truth = same_points(points)
    rows = []
    for done, tracker in enumerate(trackers):
        progress(done, len(trackers), tracker.name)
        run_timed(tracker, _speckle(5), truth)
        rates = sorted(run_timed(tracker, sequence, truth)[1] for _ in range(RUNS))
        rows.append(SpeedRow(tracker.name, tracker.ours, float(np.median(rates)), rates[0], rates[-1]))
    progress(len(trackers), len(trackers), "done")
    return BenchmarkResult(COLUMNS, tuple(rows), speed_targets(rows, threads), {"threads": threads})


def _speckle(frame_count: int) -> ImageSequence:
    source = SwayingSpeckle(frame_count, SIZE_PX)
    return ImageSequence(np.stack([source[index] for index in range(frame_count)]), name="swaying speckle")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("speed", help="frames per second of 48 points in images of 256 x 256")
    parser.add_argument(
        "--frames", metavar="T", type=whole_number, default=150, help="length of the sequence (default 150)"
    )
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    chosen = chosen_trackers(arguments)
    with TerminalProgress("benchmark", "trackers") as progress:
        result = benchmark_speed(
            chosen.trackers, frame_count=arguments.frames, threads=thread_count(), progress=progress
        )
    show(result, arguments, chosen.missing)
    return 0
