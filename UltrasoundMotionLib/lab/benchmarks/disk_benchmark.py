"""A real disk on a motor (PyMUST's `PWI_disk`, 32 plane-wave frames): how well the trackers measure how fast it turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.benchmark_trackers import BenchmarkTracker, run_timed, same_points
from UltrasoundMotionLib.lab.benchmarks.rigid_rotation import rotation_per_frame
from UltrasoundMotionLib.lab.benchmarks.target import Target
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.text_table import format_number, text_table

DISK_FILE = "rotating-disk-ultrasound/bmode_PWI_disk.mat"
DISK_CENTRE_PX = (118.0, 131.0)
DISK_DEGREES_PER_FRAME = 0.345
DISK_TOLERANCE_DEGREES = 0.02
DISK_FRAMES = 10
PIXEL_MM = 0.1
POINTS_RADIUS_PX = 90.0
"""The disk's own radius is 100 px; near its rim a window would see the still surroundings."""
POINTS_STEP_PX = 8.0
"""About 400 points: with 48, chance alone moves the fitted rotation by 0.01 degrees a frame, half of the tolerance."""


@dataclass(frozen=True)
class DiskRow:
    """Measured rotation, its distance from 0.345 degrees a frame, and how far the points are from turning rigidly (root
    mean square, px).
    """

    tracker: str
    ours: bool
    degrees_per_frame: float
    error_degrees: float
    residual_px: float
    frames_per_second: float


@dataclass(frozen=True)
class DiskBenchmark:
    """One row per tracker."""

    rows: tuple[DiskRow, ...]

    def targets(self) -> tuple[Target, ...]:
        """Rotation within 0.02 degrees a frame of 0.345."""
        return tuple(
            Target(
                f"rotating disk, first {DISK_FRAMES} frames: {row.tracker}",
                f"{DISK_DEGREES_PER_FRAME} +- {DISK_TOLERANCE_DEGREES} degrees a frame",
                f"{row.degrees_per_frame:.4f}",
                row.error_degrees <= DISK_TOLERANCE_DEGREES,
            )
            for row in self.rows
            if row.ours
        )

    def table(self) -> str:
        """One line per tracker."""
        rows = [
            [
                row.tracker,
                *(format_number(value, 4) for value in (row.degrees_per_frame, row.error_degrees)),
                format_number(row.residual_px),
            ]
            for row in self.rows
        ]
        return text_table(["tracker", "degrees/frame", f"off {DISK_DEGREES_PER_FRAME}", "residual px"], rows)

    def as_dict(self) -> dict:
        """For JSON."""
        return {"rows": [asdict(row) for row in self.rows], "targets": [vars(target) for target in self.targets()]}


def read_disk(path: str | Path) -> ImageSequence:
    """The disk's B-mode frames, `I` (251, 251, 32) uint8 at 0.1 mm.

    Raises:
        InputError: the file is missing, is not a MATLAB file, or holds something else.
    """
    import scipy.io

    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: does not exist")
    try:
        frames = scipy.io.loadmat(path, variable_names=["I"])["I"]
    except Exception as error:  # loadmat raises whatever its parser stumbles over
        raise InputError(f"{path}: is not the disk's MATLAB file: {str(error).splitlines()[0]}") from error
    if frames.ndim != 3 or frames.dtype != np.uint8 or frames.shape[2] < DISK_FRAMES:
        raise InputError(
            f"{path}: expected `I` as (H, W, T) uint8 with at least {DISK_FRAMES} frames, got {frames.shape} {frames.dtype}"
        )
    moved = np.ascontiguousarray(np.moveaxis(frames, 2, 0))
    return ImageSequence(moved, spacing_mm=(PIXEL_MM, PIXEL_MM), name="rotating disk", path=path)


def disk_points(radius_px: float = POINTS_RADIUS_PX, step_px: float = POINTS_STEP_PX) -> np.ndarray:
    """(N, 2) points of a square grid on the disk, around its centre."""
    steps = np.arange(-(radius_px // step_px), radius_px // step_px + 1) * step_px
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return np.asarray(DISK_CENTRE_PX) + grid[np.hypot(*grid.T) <= radius_px]


def benchmark_disk(
    sequence: ImageSequence, trackers: Sequence[BenchmarkTracker], *, progress: Progress = no_progress
) -> DiskBenchmark:
    """Tracks a grid of points over the first 10 frames and fits their rotation; every point counts, also those that a
    tracker calls lost.
    """
    first = ImageSequence(
        sequence.frames[:DISK_FRAMES], spacing_mm=sequence.spacing_mm, name=sequence.name, path=sequence.path
    )
    points = disk_points()
    start = np.full((DISK_FRAMES, len(points), 2), np.nan)
    start[0] = points
    rows = []
    for done, tracker in enumerate(trackers):
        progress(done, len(trackers), tracker.name)
        tracks, rate = run_timed(tracker, first, same_points(start))
        degrees, residual = rotation_per_frame(tracks.positions_px)
        degrees = abs(degrees)
        rows.append(DiskRow(tracker.name, tracker.ours, degrees, abs(degrees - DISK_DEGREES_PER_FRAME), residual, rate))
    progress(len(trackers), len(trackers), "done")
    return DiskBenchmark(tuple(rows))
