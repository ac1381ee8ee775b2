"""Frames per second of 48 points in images of 256 x 256, ours and the peers in one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.benchmark_trackers import BenchmarkTracker, run_timed, same_points
from UltrasoundMotionLib.lab.benchmarks.swaying_speckle import SwayingSpeckle
from UltrasoundMotionLib.lab.benchmarks.target import Target
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.text_table import format_number, text_table

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


@dataclass(frozen=True)
class SpeedBenchmark:
    """One row per tracker."""

    rows: tuple[SpeedRow, ...]
    threads: int

    def targets(self) -> tuple[Target, ...]:
        """At least 60 frames a second."""
        return tuple(
            Target(
                f"{POINT_COUNT} points, {SIZE_PX} x {SIZE_PX}, {self.threads} threads: {row.tracker}",
                f"at least {GOAL_FPS:g} frames/s",
                f"{row.median_fps:.1f}",
                row.median_fps >= GOAL_FPS,
            )
            for row in self.rows
            if row.ours
        )

    def table(self) -> str:
        """One line per tracker."""
        rows = [
            [row.tracker, *(format_number(value, 1) for value in (row.median_fps, row.min_fps, row.max_fps))]
            for row in self.rows
        ]
        return text_table(["tracker", "median fps", "slowest", "quickest"], rows)

    def as_dict(self) -> dict:
        """For JSON."""
        return {
            "threads": self.threads,
            "rows": [asdict(row) for row in self.rows],
            "targets": [vars(target) for target in self.targets()],
        }


def benchmark_speed(
    trackers: Sequence[BenchmarkTracker], *, frame_count: int = 150, threads: int = 1, progress: Progress = no_progress
) -> SpeedBenchmark:
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
    return SpeedBenchmark(tuple(rows), threads)


def _speckle(frame_count: int) -> ImageSequence:
    source = SwayingSpeckle(frame_count, SIZE_PX)
    return ImageSequence(np.stack([source[index] for index in range(frame_count)]), name="swaying speckle")
