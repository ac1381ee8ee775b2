"""Does memory grow with the number of frames? Long and short sequences, each tracked in a fresh child process.

`python -m UltrasoundMotionLib.lab.benchmarks.memory_benchmark MODEL FRAMES POINTS SIZE THREADS` is the child.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.peak_memory import own_peak_bytes, run_in_child
from UltrasoundMotionLib.lab.benchmarks.swaying_speckle import SwayingSpeckle
from UltrasoundMotionLib.lab.benchmarks.target import Target
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.text_table import format_number, text_table

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


@dataclass(frozen=True)
class MemoryBenchmark:
    """One row per model."""

    rows: tuple[MemoryRow, ...]
    short_frames: int
    long_frames: int

    def targets(self) -> tuple[Target, ...]:
        """Long within 300 MB of short."""
        return tuple(
            Target(
                f"peak memory, {self.long_frames} against {self.short_frames} frames: {row.model}",
                f"at most {GOAL_MB:g} MB more",
                f"{row.growth_mb:.0f} MB more",
                row.growth_mb <= GOAL_MB,
            )
            for row in self.rows
        )

    def table(self) -> str:
        """One line per model."""
        rows = [
            [
                row.model,
                *(
                    format_number(value, 0)
                    for value in (row.short_mb, row.long_mb, row.growth_mb, row.long_frames_per_second)
                ),
            ]
            for row in self.rows
        ]
        return text_table(
            ["model", f"MB, {self.short_frames} frames", f"MB, {self.long_frames} frames", "MB more", "fps"], rows
        )

    def as_dict(self) -> dict:
        """For JSON."""
        return {
            "short_frames": self.short_frames,
            "long_frames": self.long_frames,
            "rows": [{**asdict(row), "growth_mb": row.growth_mb} for row in self.rows],
            "targets": [vars(target) for target in self.targets()],
        }


def benchmark_memory(
    models: Sequence[str],
    *,
    short_frames: int = SHORT_FRAMES,
    long_frames: int = LONG_FRAMES,
    point_count: int = 4,
    size_px: int = 256,
    threads: int = 1,
    progress: Progress = no_progress,
) -> MemoryBenchmark:
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
            results.append(run_in_child("UltrasoundMotionLib.lab.benchmarks.memory_benchmark", arguments))
            if results[-1]["reached"] != frames:
                raise InputError(
                    f"{model} reached {results[-1]['reached']} of {frames} frames; its memory says nothing"
                )
        short, long = results
        rows.append(
            MemoryRow(model, short["peak_bytes"] / MEGABYTE, long["peak_bytes"] / MEGABYTE, long["frames_per_second"])
        )
    progress(2 * len(models), 2 * len(models), "done")
    return MemoryBenchmark(tuple(rows), short_frames, long_frames)


def _track_and_report(model: str, frame_count: int, point_count: int, size_px: int, threads: int) -> dict:
    import time

    import torch

    from UltrasoundMotionLib.tracking import track_points

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


if __name__ == "__main__":
    print(json.dumps(_track_and_report(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))))
