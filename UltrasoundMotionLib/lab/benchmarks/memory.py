"""`benchmark memory`: peak memory of long against short sequences, each tracked in a fresh child process.

`python -m UltrasoundMotionLib.lab.benchmarks.memory MODEL FRAMES POINTS SIZE THREADS` is the child.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_output_arguments,
    add_tracker_arguments,
    check_arguments,
    show,
    thread_count,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.swaying_speckle import SwayingSpeckle
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column, Target
from UltrasoundMotionLib.peak_memory import own_peak_bytes, run_in_child
from UltrasoundMotionLib.progress import Progress, no_progress

SHORT_FRAMES, LONG_FRAMES = 150, 15_000
GOAL_MB = 300.0
MEGABYTE = 1e6


@dataclass(frozen=True)
class MemoryRow:
    """Peak resident memory in MB (1e6 bytes) of tracking the short and the long sequence, and frames per second of the
    long one.
    """

    model: str
    short_mb: float
    long_mb: float
    long_frames_per_second: float

    @property
    def growth_mb(self) -> float:
        """Long less short."""
        return self.long_mb - self.short_mb

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        return {**asdict(self), "growth_mb": self.growth_mb}


def memory_columns(short_frames: int, long_frames: int) -> tuple[Column[MemoryRow], ...]:
    """Columns for sequences of these lengths."""
    return (
        Column("model", "model", names_method=True),
        Column(f"MB, {short_frames} frames", "short_mb", 0),
        Column(f"MB, {long_frames} frames", "long_mb", 0),
        Column("MB more", "growth_mb", 0),
        Column("fps", "long_frames_per_second", 0),
    )


def memory_targets(rows: Sequence[MemoryRow], short_frames: int, long_frames: int) -> tuple[Target, ...]:
    """The long sequence within 300 MB of the short one."""
    return tuple(
        Target(
            f"peak memory, {long_frames} against {short_frames} frames: {row.model}",
            f"at most {GOAL_MB:g} MB more",
            f"{row.growth_mb:.0f} MB more",
            row.growth_mb <= GOAL_MB,
        )
        for row in rows
    )


def benchmark_memory(
    models: Sequence[str],
    *,
    short_frames: int = SHORT_FRAMES,
    long_frames: int = LONG_FRAMES,
    point_count: int = 4,
    size_px: int = 256,
    threads: int = 1,
    progress: Progress = no_progress,
) -> BenchmarkResult[MemoryRow]:
    """Tracks points through swaying speckle, synthesised frame by frame, so that only what the tracker keeps can grow.

    Raises:
        InputError: no model, an unknown one, or a child process that failed.
    """
    from UltrasoundMotionLib.tracking.registry import find_tracker

    if not models:
        raise InputError("no model to measure")
    for model in models:
        find_tracker(model)
    rows = []
    for done, model in enumerate(models):
        results = []
        for number, frames in enumerate((short_frames, long_frames)):
            progress(2 * done + number, 2 * len(models), f"{model}: {frames} frames")
            arguments = [model, *(str(value) for value in (frames, point_count, size_px, threads))]
            results.append(run_in_child("UltrasoundMotionLib.lab.benchmarks.memory", arguments))
            if results[-1]["reached"] != frames:
                raise InputError(
                    f"{model} reached {results[-1]['reached']} of {frames} frames; its memory says nothing"
                )
        short, long = results
        rows.append(
            MemoryRow(model, short["peak_bytes"] / MEGABYTE, long["peak_bytes"] / MEGABYTE, long["frames_per_second"])
        )
    progress(2 * len(models), 2 * len(models), "done")
    return BenchmarkResult(
        memory_columns(short_frames, long_frames),
        tuple(rows),
        memory_targets(rows, short_frames, long_frames),
        {"short_frames": short_frames, "long_frames": long_frames},
    )


def _track_and_report(model: str, frame_count: int, point_count: int, size_px: int, threads: int) -> dict:
    import time

    from UltrasoundMotionLib.tracking import track_points
    from UltrasoundMotionLib.tracking.registry import find_tracker

    if find_tracker(model).needs_pytorch:
        import torch

        torch.set_num_threads(threads)
    sequence = ImageSequence(SwayingSpeckle(frame_count, size_px), name="swaying speckle")
    points = np.random.default_rng(1).uniform(0.25 * size_px, 0.75 * size_px, (point_count, 2))
    started = time.perf_counter()
    tracks = track_points(sequence, points, model=model, device="cpu")
    seconds = time.perf_counter() - started
    return {
        "peak_bytes": own_peak_bytes(),
        "frames_per_second": frame_count / seconds,
        "reached": int(tracks.reached.sum()),
    }


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "memory", help=f"peak memory of {LONG_FRAMES} frames against {SHORT_FRAMES}; takes minutes"
    )
    parser.add_argument(
        "--frames",
        metavar="T",
        type=whole_number,
        default=LONG_FRAMES,
        help=f"of the long sequence (default {LONG_FRAMES})",
    )
    add_tracker_arguments(parser, peers=False)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.tracking.registry import available_trackers

    check_arguments(arguments)
    models = [entry.name for entry in available_trackers()] if arguments.models is None else arguments.models
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_memory(
            models, long_frames=arguments.frames, threads=arguments.threads or thread_count(), progress=progress
        )
    show(result, arguments)
    return 0


if __name__ == "__main__":
    print(json.dumps(_track_and_report(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))))
