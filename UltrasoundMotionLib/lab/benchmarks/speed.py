"""`benchmark speed`: frames per second of points in images of 256 x 256, ours and the peers in one run."""

from __future__ import annotations

import argparse
import itertools
import time
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
    """Frames per second: the median of the runs, the slowest and the quickest; and per second of processor time, which
    other programs disturb less.
    """

    tracker: str
    ours: bool
    median_fps: float
    min_fps: float
    max_fps: float
    cpu_fps: float


COLUMNS: tuple[Column[SpeedRow], ...] = (
    Column("tracker", "tracker", names_method=True),
    Column("median", "median_fps", 1, unit="fps"),
    Column("slowest", "min_fps", 1),
    Column("quickest", "max_fps", 1),
    Column("per CPU second", "cpu_fps", 1),
)


def speed_targets(rows: Sequence[SpeedRow], threads: int, point_count: int = POINT_COUNT) -> tuple[Target, ...]:
    """At least 60 frames a second, for our trackers."""
    return tuple(
        Target(
            f"{point_count} points, {SIZE_PX} x {SIZE_PX}, {threads} threads: {row.tracker}",
            f"at least {GOAL_FPS:g} frames/s",
            f"{row.median_fps:.1f}",
            row.median_fps >= GOAL_FPS,
        )
        for row in rows
        if row.ours
    )


def benchmark_speed(
    trackers: Sequence[BenchmarkTracker],
    *,
    frame_count: int = 150,
    point_count: int = POINT_COUNT,
    threads: int = 1,
    progress: Progress = no_progress,
) -> BenchmarkResult[SpeedRow]:
    """Times each tracker three times over `frame_count` frames, after a short run that is not counted; the query
    frame's own work is counted.
    """
    points = _grid_points(point_count)[None]
    sequence = _speckle(frame_count)
    truth = same_points(points)
    rows = []
    for done, tracker in enumerate(trackers):
        progress(done, len(trackers), tracker.name)
        run_timed(tracker, _speckle(5), truth)
        rates, cpu_rates = [], []
        for _ in range(RUNS):
            begun = time.process_time()
            rates.append(run_timed(tracker, sequence, truth)[1])
            cpu_rates.append(frame_count / (time.process_time() - begun))
        median, cpu = float(np.median(rates)), float(np.median(cpu_rates))
        rows.append(SpeedRow(tracker.name, tracker.ours, median, min(rates), max(rates), cpu))
    progress(len(trackers), len(trackers), "done")
    targets = speed_targets(rows, threads, point_count)
    return BenchmarkResult(COLUMNS, tuple(rows), targets, {"threads": threads, "points": point_count})


def _grid_points(count: int) -> np.ndarray:
    """Returns points (N, 2) spread evenly over the image, 40 px from its border: rows of equal length, the last cut."""
    rows = max(1, round(np.sqrt(0.75 * count)))
    along = [np.linspace(40, SIZE_PX - 40, one) for one in (-(-count // rows), rows)]
    return np.stack(np.meshgrid(*along), axis=-1).reshape(-1, 2)[:count]


def _speckle(frame_count: int) -> ImageSequence:
    """Returns a sequence in which each frame differs from the one before: trackers pass over frames that repeat."""
    source = SwayingSpeckle(frame_count, SIZE_PX)
    moving = (index for index in itertools.count() if source.shift_px(index) != source.shift_px(index - 1))
    frames = [source[index] for index in itertools.islice(moving, frame_count)]
    return ImageSequence(np.stack(frames), name="swaying speckle")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("speed", help="frames per second of points in images of 256 x 256")
    parser.add_argument(
        "--frames", metavar="T", type=whole_number, default=150, help="length of the sequence (default 150)"
    )
    parser.add_argument(
        "--points",
        metavar="N",
        type=whole_number,
        default=POINT_COUNT,
        help=f"number of points (default {POINT_COUNT})",
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
            chosen.trackers,
            frame_count=arguments.frames,
            point_count=arguments.points,
            threads=thread_count(),
            progress=progress,
        )
    show(result, arguments, chosen.missing)
    return 0
