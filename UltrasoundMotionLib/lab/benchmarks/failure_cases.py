"""The two causes of failure that Liu et al. name (Supplement G), and the options against them: a landmark in shadow,
and the latency of a system that acts on an image when the image is already old.

Latency of one frame: what is stated on frame t comes from frame t - 1. Without prediction that is the landmark's place
one frame ago; with `ahead_frames` the place predicted there for frame t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np

from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import measure_tracks
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker
from UltrasoundMotionLib.lab.phantom_cases import BenchmarkCase
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.run import run_query
from UltrasoundMotionLib.tracking.wrappers import wrapped_tracker
from UltrasoundMotionLib.tracking.wrappers.offline_tracks import track_offline


@dataclass(frozen=True)
class FailureCase:
    """One way of running a tracker.

    Attributes:
        name: in tables.
        options: of `TrackRequest`.
        late_frames: what is stated on a frame comes from so many frames before.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    late_frames: int = 0


PLAIN = FailureCase("as it is")
FAILURE_CASES: tuple[FailureCase, ...] = (
    PLAIN,
    FailureCase("watching shadows", {"watch_shadows": True}),
    FailureCase("offline", {"offline": True}),
    FailureCase("1 frame late", late_frames=1),
    FailureCase("1 frame late, predicted", {"ahead_frames": 1}, late_frames=1),
)


def late(tracks: PointTracks, frames: int) -> PointTracks:
    """Returns tracks that state on each frame after the query frame what was stated `frames` before, on the first ones
    the place on the query frame.
    """
    if frames == 0:
        return tracks
    own, query = np.arange(len(tracks.positions_px)), tracks.query_frame
    source = np.where(own > query, np.maximum(own - frames, query), own)
    return replace(
        tracks,
        positions_px=tracks.positions_px[source],
        confidence=tracks.confidence[source],
        visible=tracks.visible[source],
    )


LARGE_MM = 2.0
"""Mean error above which a landmark counts as followed badly."""


def large_errors(by_landmark: Mapping[str, float]) -> str:
    """Returns how many landmarks have a mean error (mm) above `LARGE_MM`, of how many."""
    return f"{sum(error > LARGE_MM for error in by_landmark.values())}/{len(by_landmark)}"


def landmark_means(errors: Sequence[TrackErrors], *, no_tracking: bool = False) -> dict[str, float]:
    """Returns the mean error of each landmark, by its sequence's name and its own."""
    means = {}
    for one in errors:
        values = one.no_tracking if no_tracking else one.error
        for point, label in enumerate(one.labels):
            counted = values[one.counted[:, point], point]
            if counted.size:
                means[f"{one.name} {label}"] = float(counted.mean())
    return means


@dataclass(frozen=True)
class FailureRow:
    """Results of one tracker run in one way.

    Attributes:
        tracker: its name.
        case: the way.
        error: statistics of all positions' errors, an object with `mean`, `std`, `percentile_95`, `max` and `unit`.
        by_landmark: mean error of each landmark.
    """

    tracker: str
    case: str
    error: Any
    by_landmark: Mapping[str, float]


def failure_rows(
    cases: Sequence[BenchmarkCase], trackers: Sequence[BenchmarkTracker], *, progress: Progress = no_progress
) -> tuple[FailureRow, ...]:
    """Runs every online tracker of ours on every case in each of the `FAILURE_CASES`."""
    ours = [tracker for tracker in trackers if tracker.ours and tracker.online]
    rows = []
    for number, (tracker, way) in enumerate(product(ours, FAILURE_CASES)):
        errors = []
        for case in cases:
            progress(number, len(ours) * len(FAILURE_CASES), f"{case.name}: {tracker.name}, {way.name}")
            errors.append(compare_tracks(_failure_tracks(tracker, way, case), case.truth, name=case.name))
        rows.append(FailureRow(tracker.name, way.name, measure_tracks(errors).tracking_error, landmark_means(errors)))
    return tuple(rows)


def _failure_tracks(tracker: BenchmarkTracker, way: FailureCase, case: BenchmarkCase) -> PointTracks:
    options = dict(way.options)
    run = track_offline if options.pop("offline", False) else run_query
    query = PointQuery.on(case.sequence, case.truth.positions_px[0], labels=case.truth.labels)
    tracks = run(case.sequence, lambda: wrapped_tracker(tracker.create(), **options), query, model=tracker.name)
    return late(tracks, way.late_frames)


def failure_result(rows: Sequence[FailureRow]) -> BenchmarkResult[FailureRow]:
    """Lays out the rows tracker by tracker, each way compared with the tracker as it is, landmark by landmark."""
    unit = rows[0].error.unit
    columns: list[Column[FailureRow]] = [
        Column("tracker", lambda row: f"{row.tracker} ({len(row.by_landmark)})"),
        Column("failure case", "case", names_method=True),
        Column("mean", "error.mean", 2, unit=unit),
        Column("std", "error.std", 2),
        Column("95th", "error.percentile_95", 2),
        Column("max", "error.max", 2),
    ]
    if unit == "mm":
        columns.append(Column(f"over {LARGE_MM:g} mm", lambda row: large_errors(row.by_landmark)))
    cases: CaseMeasure[FailureRow] = CaseMeasure(
        "mean of a landmark",
        values=lambda row: row.by_landmark,
        method=lambda row: row.case,
        group=lambda row: row.tracker,
        digits=2,
    )
    return BenchmarkResult(columns, tuple(rows), cases=cases, against=PLAIN.name, rows_key="failure_cases")
