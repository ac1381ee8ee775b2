"""`benchmark wires`: six nylon wires in a water bath (PLUS' `RandomStepperMotionData2`), real ultrasound whose truth is
PLUS' own segmentation.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.track_errors import compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import points_lost
from UltrasoundMotionLib.evaluation.track_report import TrackReport, report_tracks
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
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

WIRES_FOLDER = "plus-tracked-ultrasound"
WIRES_NAME = "SegmentationTest_VLCUS_RandomStepperMotionData2"
WIRE_COUNT = 6
MEDIAN_GOAL_PX = 1.0


@dataclass(frozen=True)
class WireRow:
    """Results of one tracker, and the names of the wires it lost for good."""

    tracker: str
    ours: bool
    report: TrackReport
    lost: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        return {"tracker": self.tracker, "ours": self.ours, "lost": self.lost, **self.report.as_dict()}


COLUMNS: tuple[Column[WireRow], ...] = (
    Column("tracker", "tracker", names_method=True),
    Column("delta_avg", "report.pooled.delta_avg"),
    Column("median", "report.pooled.median_error_px", unit="px"),
    Column("MTE", "report.pooled.median_trajectory_error_px", unit="px"),
    Column("mean", "report.pooled.tracking_error.mean", unit="px"),
    Column("95th", "report.pooled.tracking_error.percentile_95", unit="px"),
    Column("max", "report.pooled.tracking_error.max", unit="px"),
    Column("lost", lambda row: ", ".join(row.lost) or "none"),
    Column("fps", "report.pooled.frames_per_second", 1),
)
"""Pixels are those of the image as it is (640 x 480)."""


def wire_targets(rows: Sequence[WireRow]) -> tuple[Target, ...]:
    """Median error under 1 px and no wire lost for good, for our trackers."""
    return tuple(
        Target(
            f"wires: {row.tracker}",
            f"median under {MEDIAN_GOAL_PX:g} px, none lost",
            f"{row.report.pooled.median_error_px:.3f} px, {len(row.lost)} lost",
            row.report.pooled.median_error_px < MEDIAN_GOAL_PX and not row.lost,
        )
        for row in rows
        if row.ours
    )


def read_wire_positions(path: str | Path, frame_count: int) -> PointTracks:
    """PLUS' segmentation of the wires, in pixels as stored, as sparse truth: NaN on the frames where PLUS found no
    pattern.

    PLUS lists the six wires in the order of its phantom's model, the same on every frame, so that no association is
    needed (checked: no wire moves by more than 15 px between frames that follow each other, while wires are at least 40
    px apart).

    Raises:
        InputError: the file is missing or not PLUS' XML, a frame out of range, or a frame with another number of wires.
    """
    path = Path(path)
    try:
        cases = ElementTree.parse(path).getroot().findall("TestCase")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except ElementTree.ParseError as error:
        raise InputError(f"{path}: is not XML: {error}") from error
    positions = np.full((frame_count, WIRE_COUNT, 2), np.nan)
    for case in cases:
        source, output = case.find("Input"), case.find("Output")
        if source is None or output is None:
            raise InputError(f"{path}: TestCase {case.get('id')} has no Input or no Output")
        frame = int(source.get("ImageSeqFrameIndex", "-1"))
        if not 0 <= frame < frame_count:
            raise InputError(f"{path}: frame {frame} is outside the sequence of {frame_count} frames")
        if output.get("SegmentationSuccess") != "1":
            continue
        values = np.array(output.get("SegmentationPoints", "").split(), dtype=np.float64)
        if values.size != 2 * WIRE_COUNT:
            raise InputError(f"{path}: frame {frame} has {values.size} coordinates, expected {2 * WIRE_COUNT}")
        positions[frame] = values.reshape(WIRE_COUNT, 2)
    if not np.all(np.isfinite(positions[0])):
        raise InputError(f"{path}: frame 0 has no wires to start from")
    return same_points(positions, labels=[f"wire {number}" for number in range(1, WIRE_COUNT + 1)])


def read_wires(folder: str | Path) -> tuple[ImageSequence, PointTracks]:
    """The sequence and its truth from the folder of the developers' data that holds them.

    Raises:
        InputError: see `read_sequence` and `read_wire_positions`.
    """
    from UltrasoundMotionLib.images import read_sequence

    sequence = read_sequence(Path(folder) / f"{WIRES_NAME}.igs.mha")
    return sequence, read_wire_positions(Path(folder) / f"{WIRES_NAME}_Segmentation_baseline.xml", len(sequence))


def benchmark_wires(
    sequence: ImageSequence,
    truth: PointTracks,
    trackers: Sequence[BenchmarkTracker],
    *,
    progress: Progress = no_progress,
) -> BenchmarkResult[WireRow]:
    """Follows the wires from the first frame and compares where PLUS found them.

    Errors are in the image's own pixels.
    """
    rows = []
    for done, tracker in enumerate(trackers):
        progress(done, len(trackers), tracker.name)
        tracks, rate = run_timed(tracker, sequence, truth)
        errors = compare_tracks(tracks, truth, name="wires", frames_per_second=rate)
        lost = tuple(label for label, is_lost in zip(errors.labels, points_lost(errors), strict=True) if is_lost)
        rows.append(WireRow(tracker.name, tracker.ours, report_tracks([errors]), lost))
    progress(len(trackers), len(trackers), "done")
    return BenchmarkResult(COLUMNS, tuple(rows), wire_targets(rows))


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser("wires", help="six moving wires in real ultrasound (PLUS)")
    add_data_argument(parser, content="plus-tracked-ultrasound (PlusToolkit/PlusLibData, TestImages)")
    add_tracker_arguments(parser)
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    sequence, truth = read_wires(arguments.data / WIRES_FOLDER)
    chosen = chosen_trackers(arguments)
    with TerminalProgress("benchmark", "trackers") as progress:
        result = benchmark_wires(sequence, truth, chosen.trackers, progress=progress)
    show(result, arguments, chosen.missing)
    return 0
