"""Landmarks followed through minutes of simulated breathing, in mm as CLUST reports them: ours and the peers on the
same phantoms.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import TrackMeasures, flat_measures, measure_tracks
from UltrasoundMotionLib.lab.benchmarks.benchmark_trackers import BenchmarkTracker
from UltrasoundMotionLib.lab.benchmarks.landmark_targets import landmark_targets
from UltrasoundMotionLib.lab.benchmarks.target import Target
from UltrasoundMotionLib.lab.benchmarks.tracking_benchmark import (
    DIFFICULTIES,
    EVALUATION_SEED,
    HARDER_HALF,
    HARDER_HALF_NAME,
    BenchmarkCase,
)
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table
from UltrasoundMotionLib.tracking.files.tracks_csv import read_tracks_csv, write_tracks_csv
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.run import run_tracker

VESSELS = ("vessel", "fork")
FRAME_COUNT = 300
SPEED_FRAMES = 60
SPEED_LANDMARKS = (1, 5)
ALL = "all"


@dataclass(frozen=True)
class LandmarkRow:
    """What one tracker reached on the phantoms of one difficulty, of the harder half, or of all."""

    difficulty: str
    phantom_count: int
    tracker: str
    ours: bool
    measures: TrackMeasures


@dataclass(frozen=True)
class LandmarkSpeed:
    """Frames a second with one landmark and with five."""

    tracker: str
    ours: bool
    one: float
    five: float


@dataclass(frozen=True)
class LandmarkBenchmark:
    """All rows, and how quick each tracker is. `speed_of` says of which time: "processor" or "wall clock"."""

    rows: tuple[LandmarkRow, ...]
    speeds: tuple[LandmarkSpeed, ...]
    frame_count: int
    speed_of: str

    def targets(self) -> tuple[Target, ...]:
        """Issue 7's goals."""
        harder = {row.tracker: row.measures for row in self.rows if row.difficulty == HARDER_HALF_NAME}
        return landmark_targets(harder, {speed.tracker: (speed.one, speed.five) for speed in self.speeds if speed.ours})

    def table(self, markdown: bool = False) -> str:
        """Tracking error in mm over all positions where the truth is seen, the same had nothing been tracked, and the
        landmarks lost for good.
        """
        speeds = {speed.tracker: speed for speed in self.speeds}
        header = ["phantoms", "tracker", "mean mm", "std", "95th", "min", "max", "NoTE mean", "lost", "fps 1", "fps 5"]
        rows = []
        for row in self.rows:
            error, speed = row.measures.tracking_error, speeds[row.tracker]
            numbers = (
                error.mean,
                error.std,
                error.percentile_95,
                error.min,
                error.max,
                row.measures.no_tracking_error.mean,
            )
            rows.append(
                [
                    f"{row.difficulty} ({row.phantom_count})",
                    row.tracker,
                    *(format_number(number, 2) for number in numbers),
                    f"{row.measures.lost_count}/{row.measures.point_count}",
                    *(format_number(number, 1) for number in (speed.one, speed.five)),
                ]
            )
        return (markdown_table if markdown else text_table)(header, rows)

    def as_dict(self) -> dict:
        """For JSON."""
        return {
            "frame_count": self.frame_count,
            "rows": [
                {
                    "difficulty": row.difficulty,
                    "phantoms": row.phantom_count,
                    "tracker": row.tracker,
                    "ours": row.ours,
                    **flat_measures(row.measures),
                }
                for row in self.rows
            ],
            "frames_per_second_of": self.speed_of,
            "speeds": [asdict(speed) for speed in self.speeds],
            "targets": [asdict(target) for target in self.targets()],
        }


def landmark_cases(
    difficulties: Sequence[str] = DIFFICULTIES,
    *,
    count: int = 2,
    seed: int = EVALUATION_SEED,
    frame_count: int = FRAME_COUNT,
) -> Iterator[BenchmarkCase]:
    """Simulates one breathing liver after the other; the landmarks are its vessels and their forks that the first frame
    shows.

    Raises:
        InputError: see `phantom_set`.
    """
    from UltrasoundMotionLib.simulation import phantom_set

    for difficulty in difficulties:
        for phantom in phantom_set("liver", difficulty, count, seed, frame_count=frame_count):
            simulated = phantom.simulate()
            truth = only_vessels(simulated.truth_from(0))
            if truth.labels:
                yield BenchmarkCase("liver", difficulty, phantom.name, simulated.sequence, truth)


def only_vessels(truth: PointTracks) -> PointTracks:
    """The points that are vessels or forks of vessels."""
    kept = [index for index, label in enumerate(truth.labels) if label.startswith(VESSELS)]
    return replace(
        truth,
        positions_px=truth.positions_px[:, kept],
        confidence=truth.confidence[:, kept],
        visible=truth.visible[:, kept],
        labels=tuple(truth.labels[index] for index in kept),
    )


def benchmark_landmarks(
    cases: Iterable[BenchmarkCase],
    trackers: Sequence[BenchmarkTracker],
    *,
    case_count: int = 0,
    wall_clock: bool = False,
    tracks_folder: Path | None = None,
    progress: Progress = no_progress,
) -> LandmarkBenchmark:
    """Runs every tracker on every case, one case in memory at a time, and times each on the beginning of the first.

    Args:
        case_count: how many cases to expect, for `progress` only.
        tracks_folder: keeps what each tracker found as a CSV; what is there already is read rather than tracked again.
        wall_clock: time by the wall clock, as a GPU needs; else by processor seconds, which other work on the machine
            does not stretch.

    Raises:
        InputError: there is no case; see `compare_tracks`.
    """
    errors: dict[tuple[str, str], list[TrackErrors]] = {}
    speeds: list[LandmarkSpeed] = []
    frame_count = 0
    for done, case in enumerate(cases):
        if not speeds:
            frame_count = len(case.sequence)
            speeds = [_speed(tracker, case, wall_clock) for tracker in trackers]
        for number, tracker in enumerate(trackers):
            progress(done * len(trackers) + number, case_count * len(trackers), f"{case.name}: {tracker.name}")
            compared = compare_tracks(_tracks(tracker, case, tracks_folder), case.truth, name=case.name)
            groups = (case.difficulty, ALL, *((HARDER_HALF_NAME,) if case.difficulty in HARDER_HALF else ()))
            for group in groups:
                errors.setdefault((group, tracker.name), []).append(compared)
    if not errors:
        raise InputError("no phantom shows a vessel on its first frame; take another seed or more phantoms")
    progress(case_count * len(trackers), case_count * len(trackers), "done")
    ours = {tracker.name: tracker.ours for tracker in trackers}
    order = sorted(errors, key=lambda key: (*DIFFICULTIES, HARDER_HALF_NAME, ALL).index(key[0]))
    rows = (
        LandmarkRow(group, len(several := errors[group, name]), name, ours[name], measure_tracks(several))
        for group, name in order
    )
    return LandmarkBenchmark(tuple(rows), tuple(speeds), frame_count, "wall clock" if wall_clock else "processor")


def _tracks(tracker: BenchmarkTracker, case: BenchmarkCase, folder: Path | None) -> PointTracks:
    """What the tracker finds, or what it found before."""
    kept = None if folder is None else folder / f"{case.name}-{len(case.sequence)}-{tracker.name.replace(' ', '-')}.csv"
    if kept is not None and kept.exists():
        return replace(read_tracks_csv(kept), query_frame=0)
    tracks = run_tracker(
        case.sequence, tracker.create, case.truth.positions_px[0], labels=case.truth.labels, model=tracker.name
    )
    if kept is not None:
        write_tracks_csv(kept, tracks)
    return tracks


def _speed(tracker: BenchmarkTracker, case: BenchmarkCase, wall_clock: bool) -> LandmarkSpeed:
    """Frames a second of `update`, the first few left out, with one landmark and with five; where there are fewer, some
    are given twice.
    """
    clock = time.perf_counter if wall_clock else time.process_time
    frames = [
        np.asarray(case.sequence.frame(index), dtype=np.float32)
        for index in range(min(SPEED_FRAMES, len(case.sequence)))
    ]
    rates = []
    for count in SPEED_LANDMARKS:
        followed = tracker.create()
        followed.start(frames[0], np.resize(case.truth.positions_px[0], (count, 2)))
        warm = min(3, len(frames) - 1)
        for frame in frames[1 : 1 + warm]:
            followed.update(frame)
        rest = frames[1 + warm :] or frames[-1:]
        began = clock()
        for frame in rest:
            followed.update(frame)
        rates.append(len(rest) / max(clock() - began, 1e-9))
    return LandmarkSpeed(tracker.name, tracker.ours, *rates)
