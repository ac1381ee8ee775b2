"""`benchmark disk`: the rotation that trackers measure of a real disk on a motor (PyMUST's `PWI_disk`, 32 plane-wave
frames).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_data_argument,
    add_output_arguments,
    add_tracker_arguments,
    check_arguments,
    chosen_trackers,
    show,
)
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column, Target
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker, run_timed, same_points
from UltrasoundMotionLib.progress import Progress, no_progress

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


COLUMNS: tuple[Column[DiskRow], ...] = (
    Column("tracker", "tracker", names_method=True),
    Column("degrees/frame", "degrees_per_frame", 4),
    Column(f"off {DISK_DEGREES_PER_FRAME}", "error_degrees", 4),
    Column("residual", "residual_px", unit="px"),
)


def disk_targets(rows: Sequence[DiskRow]) -> tuple[Target, ...]:
    """Rotation within 0.02 degrees a frame of 0.345, for our trackers."""
    return tuple(
        Target(
            f"rotating disk, first {DISK_FRAMES} frames: {row.tracker}",
            f"{DISK_DEGREES_PER_FRAME} +- {DISK_TOLERANCE_DEGREES} degrees a frame",
            f"{row.degrees_per_frame:.4f}",
            row.error_degrees <= DISK_TOLERANCE_DEGREES,
        )
        for row in rows
        if row.ours
    )


def read_disk(path: str | Path) -> ImageSequence:
    """Reads the disk's B-mode frames, `I` (251, 251, 32) uint8 at 0.1 mm.

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
        wanted = f"`I` as (H, W, T) uint8 with at least {DISK_FRAMES} frames"
        raise InputError(f"{path}: expected {wanted}, got {frames.shape} {frames.dtype}")
    moved = np.ascontiguousarray(np.moveaxis(frames, 2, 0))
    return ImageSequence(moved, spacing_mm=(PIXEL_MM, PIXEL_MM), name="rotating disk", path=path)


def disk_points(radius_px: float = POINTS_RADIUS_PX, step_px: float = POINTS_STEP_PX) -> np.ndarray:
    """Returns (N, 2) points of a square grid on the disk, around its centre."""
    steps = np.arange(-(radius_px // step_px), radius_px // step_px + 1) * step_px
    grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    return np.asarray(DISK_CENTRE_PX) + grid[np.hypot(*grid.T) <= radius_px]


def benchmark_disk(
    sequence: ImageSequence, trackers: Sequence[BenchmarkTracker], *, progress: Progress = no_progress
) -> BenchmarkResult[DiskRow]:
    """Tracks a grid of points over the first 10 frames and fits their rotation; every point counts, also those that a
    tracker calls lost.
    """
    first = ImageSequence(
        np.stack([sequence.frame(index) for index in range(DISK_FRAMES)]),
        spacing_mm=sequence.spacing_mm,
        name=sequence.name,
        path=sequence.path,
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
    return BenchmarkResult(COLUMNS, tuple(rows), disk_targets(rows))


def fit_rotation(fixed: np.ndarray, moved: np.ndarray) -> tuple[float, float]:
    """Least-squares rotation and shift (no scale) that carries points `fixed` (N, 2) to `moved` (N, 2) (Kabsch 1976;
    Umeyama 1991, scale 1).

    Returns:
        The angle in degrees, positive from the x axis towards the y axis, and the root mean square distance that
        remains, in pixels.
    """
    from_points = fixed - fixed.mean(axis=0)
    to_points = moved - moved.mean(axis=0)
    covariance = from_points.T @ to_points
    angle = np.arctan2(covariance[0, 1] - covariance[1, 0], covariance[0, 0] + covariance[1, 1])
    rotation = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    remaining = to_points - from_points @ rotation
    return float(np.degrees(angle)), float(np.sqrt(np.mean(np.sum(remaining**2, axis=1))))


def rotation_per_frame(positions_px: np.ndarray, query_frame: int = 0) -> tuple[float, float]:
    """Fits degrees per frame to points (T, N, 2), by least squares over all frames through zero at the query frame.

    Returns:
        Them, and the mean distance that remains, in pixels.
    """
    fits = np.array([fit_rotation(positions_px[query_frame], frame) for frame in positions_px])
    lag = np.arange(len(positions_px)) - query_frame
    return float(lag @ fits[:, 0] / (lag @ lag)), float(fits[lag != 0, 1].mean())


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("disk", help="the rotation of a real disk (PyMUST)")
    add_data_argument(
        parser,
        content="rotating-disk-ultrasound/bmode_PWI_disk.mat (creatis-ULTIM/PyMUST, examples/data)",
    )
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    sequence = read_disk(arguments.data / DISK_FILE)
    chosen = chosen_trackers(arguments)
    with TerminalProgress("benchmark", "trackers") as progress:
        result = benchmark_disk(sequence, chosen.trackers, progress=progress)
    show(result, arguments, chosen.missing)
    return 0
