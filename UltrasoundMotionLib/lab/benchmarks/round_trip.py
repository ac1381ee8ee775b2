"""`benchmark round-trip`: points of a real clip without truth go to the last frame and back, and should return to where
they were given.

It is a check of consistency, not of accuracy: a tracker that never moves returns perfectly. The distance moved is
printed beside it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.forward_backward import forward_backward_error
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
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

LIVER_FOLDER = "liver-free-breathing/frames"
LIVER_SPACING_MM = (0.2732, 0.2732)
GOAL_MM = 1.0
"""Set for landmark trackers on the breathing liver; all trackers are compared with it."""


@dataclass(frozen=True)
class RoundTripRow:
    """Distances from the start after the way there and back (median, 95th percentile), and the median of each point's
    greatest displacement.
    """

    tracker: str
    ours: bool
    median: float
    percentile_95: float
    moved: float
    unit: str
    left_image_count: int


COLUMNS: tuple[Column[RoundTripRow], ...] = (
    Column("tracker", "tracker", names_method=True),
    Column("median", "median"),
    Column("95th", "percentile_95"),
    Column("moved", "moved"),
    Column("unit", "unit"),
    Column("left image", "left_image_count"),
)


def round_trip_targets(rows: Sequence[RoundTripRow], sequence: ImageSequence) -> tuple[Target, ...]:
    """Median under 1 mm, where the spacing is known, for our trackers."""
    if sequence.spacing_mm is None:
        return ()
    return tuple(
        Target(
            f"{sequence.name}, {len(sequence)} frames there and back: {row.tracker}",
            f"median under {GOAL_MM:g} mm",
            f"{row.median:.3f} mm",
            row.median < GOAL_MM,
        )
        for row in rows
        if row.ours
    )


def structured_points(
    frame: np.ndarray, count: int, *, sigma_px: float = 4.0, margin_px: int = 24, apart_px: int = 24
) -> np.ndarray:
    """Finds (N, 2) places with structure in two directions: peaks of the structure tensor's lesser eigenvalue (Shi and
    Tomasi 1994), the best first.

    Raises:
        InputError: the frame has no such place.
    """
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(frame.astype(np.float64), 1.5)
    along_y, along_x = np.gradient(smooth)
    xx, yy, xy = (ndimage.gaussian_filter(product, sigma_px) for product in (along_x**2, along_y**2, along_x * along_y))
    lesser = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)
    lesser[:margin_px], lesser[-margin_px:], lesser[:, :margin_px], lesser[:, -margin_px:] = 0, 0, 0, 0
    peaks = (lesser == ndimage.maximum_filter(lesser, size=2 * apart_px + 1)) & (lesser > 0)
    rows, columns = np.nonzero(peaks)
    if not len(rows):
        raise InputError(f"a frame of {frame.shape[1]} x {frame.shape[0]} pixels has no structure to place points on")
    best = np.argsort(-lesser[rows, columns])[:count]
    return np.stack([columns[best], rows[best]], axis=1).astype(np.float64)


def benchmark_round_trip(
    sequence: ImageSequence,
    trackers: Sequence[BenchmarkTracker],
    *,
    point_count: int = 24,
    progress: Progress = no_progress,
) -> BenchmarkResult[RoundTripRow]:
    """Tracks the most structured points of the first frame to the last and back, in mm where the spacing is known, else
    in px.

    Raises:
        InputError: see `structured_points`.
    """
    points = structured_points(sequence.frame(0), point_count)
    rows = []
    for done, tracker in enumerate(trackers):
        progress(done, len(trackers), tracker.name)
        ways: list[PointTracks] = []

        def track(
            clip: ImageSequence, start: np.ndarray, frame: int, tracker: BenchmarkTracker = tracker, ways: list = ways
        ) -> PointTracks:
            ways.append(tracker.track(clip, start, query_frame=frame))
            return ways[-1]

        result = forward_backward_error(sequence, points, track)
        errors = result.error_px if result.error_mm is None else result.error_mm
        moved = np.linalg.norm(ways[0].displacement_px * (sequence.spacing_mm or (1.0, 1.0)), axis=2).max(axis=0)
        returned = errors[np.isfinite(errors)]
        median, percentile_95 = (
            (float(np.median(returned)), float(np.percentile(returned, 95))) if len(returned) else (np.inf, np.inf)
        )
        unit = "px" if sequence.spacing_mm is None else "mm"
        rows.append(
            RoundTripRow(
                tracker.name,
                tracker.ours,
                median,
                percentile_95,
                float(np.median(moved)),
                unit,
                result.left_image_count,
            )
        )
    progress(len(trackers), len(trackers), "done")
    details = {"name": sequence.name, "frame_count": len(sequence), "point_count": len(points)}
    return BenchmarkResult(COLUMNS, tuple(rows), round_trip_targets(rows, sequence), details)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("round-trip", help="points of a real liver tracked to the last frame and back")
    add_data_argument(parser, content="liver-free-breathing/frames (qiaotian/VideoTracking, sample1)")
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.images import read_sequence

    check_arguments(arguments)
    sequence = replace(
        read_sequence(arguments.data / LIVER_FOLDER, spacing_mm=LIVER_SPACING_MM), name="breathing liver"
    )
    chosen = chosen_trackers(arguments)
    with TerminalProgress("benchmark", "trackers") as progress:
        result = benchmark_round_trip(sequence, chosen.trackers, progress=progress)
    show(result, arguments, chosen.missing)
    return 0
