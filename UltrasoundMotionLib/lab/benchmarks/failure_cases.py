"""The two causes of failure that Liu et al. name (Supplement G), and the options against them: a landmark in shadow,
and the latency of a system that acts on an image when the image is already old.

Latency of one frame: what is stated on frame t comes from frame t - 1. Without prediction that is the landmark's place
one frame ago; with `ahead_frames` the place predicted there for frame t.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


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
