"""Six nylon wires in a water bath (PLUS' `RandomStepperMotionData2`): real ultrasound whose truth is PLUS' own
segmentation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.track_errors import compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import points_lost
from UltrasoundMotionLib.evaluation.track_report import TrackReport, report_tracks
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.benchmark_trackers import BenchmarkTracker, run_timed, same_points
from UltrasoundMotionLib.lab.benchmarks.target import Target
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.text_table import format_number, text_table
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

WIRES_FOLDER = "plus-tracked-ultrasound"
WIRES_NAME = "SegmentationTest_VLCUS_RandomStepperMotionData2"
WIRE_COUNT = 6
MEDIAN_GOAL_PX = 1.0


@dataclass(frozen=True)
class WireRow:
    """What one tracker reached, and the names of the wires it lost for good."""

    tracker: str
    ours: bool
    report: TrackReport
    lost: tuple[str, ...]


@dataclass(frozen=True)
class WireBenchmark:
    """One row per tracker."""

    rows: tuple[WireRow, ...]

    def targets(self) -> tuple[Target, ...]:
        """Median error under 1 px, no wire lost for good."""
        return tuple(
            Target(
                f"wires: {row.tracker}",
                f"median under {MEDIAN_GOAL_PX:g} px, none lost",
                f"{row.report.pooled.median_error_px:.3f} px, {len(row.lost)} lost",
                row.report.pooled.median_error_px < MEDIAN_GOAL_PX and not row.lost,
            )
            for row in self.rows
            if row.ours
        )

    def table(self) -> str:
        """One line per tracker; pixels of the image as it is (640 x 480)."""
        rows = []
        for row in self.rows:
            pooled = row.report.pooled
            error = pooled.tracking_error
            lost = ", ".join(row.lost) or "none"
            numbers = (
                pooled.delta_avg,
                pooled.median_error_px,
                pooled.median_trajectory_error_px,
                error.mean,
                error.percentile_95,
                error.max,
            )
            rows.append(
                [
                    row.tracker,
                    *(format_number(value) for value in numbers),
                    lost,
                    format_number(pooled.frames_per_second, 1),
                ]
            )
        return text_table(
            ["tracker", "delta_avg", "median px", "MTE px", "mean px", "95th px", "max px", "lost", "fps"], rows
        )

    def as_dict(self) -> dict:
        """For JSON."""
        return {
            "rows": [
                {"tracker": row.tracker, "ours": row.ours, "lost": row.lost, **row.report.as_dict()}
                for row in self.rows
            ],
            "targets": [vars(target) for target in self.targets()],
        }


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
) -> WireBenchmark:
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
    return WireBenchmark(tuple(rows))
