"""`benchmark landmarks`: vessels of breathing livers followed for hundreds of frames, ours and the peers on the same
phantoms, in mm as CLUST reports them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.track_errors import TrackErrors, compare_tracks
from UltrasoundMotionLib.evaluation.track_measures import TrackMeasures, flat_measures, measure_tracks
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_output_arguments,
    add_phantom_arguments,
    add_tracker_arguments,
    check_arguments,
    chosen_trackers,
    show,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.failure_cases import (
    FailureRow,
    failure_result,
    failure_rows,
    landmark_means,
    large_errors,
)
from UltrasoundMotionLib.lab.benchmarks.landmark_targets import landmark_targets
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker
from UltrasoundMotionLib.lab.phantom_cases import (
    DIFFICULTIES,
    EVALUATION_SEED,
    HARDER_HALF,
    HARDER_HALF_NAME,
    BenchmarkCase,
    choose_points,
    thin_points,
)
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.files.tracks_csv import read_tracks_csv, write_tracks_csv
from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

VESSELS = ("vessel", "fork")
FRAME_COUNT = 300
SPEED_FRAMES = 60
SPEED_LANDMARKS = (1, 5)
ALL = "all"
NO_TRACKING = "no tracking"
FIXED_TEMPLATE = "opencv-template"
"""The peer that all are compared with by default: the classical way to follow a vessel."""

DESCRIPTION = f"""Simulates livers that breathe irregularly for hundreds of frames while their speckle changes, shadows
pass and the probe drifts, and follows the vessels and forks that the first frame shows. Errors are in mm, over all
positions where the truth is seen, as CLUST reports them. Seeds from {EVALUATION_SEED} on are kept for this; nothing is
tuned or trained on them."""


@dataclass(frozen=True)
class LandmarkSpeed:
    """Frames a second with one landmark and with five."""

    tracker: str
    ours: bool
    one: float
    five: float


@dataclass(frozen=True)
class LandmarkRow:
    """Results of one tracker on the phantoms of one difficulty, of the harder half, or of all.

    Attributes:
        measures: of all its positions pooled.
        by_landmark: mean tracking error of each landmark in mm, by the phantom's name and its own.
        phantoms: how many.
        speed: of the tracker, on the first phantom; None of no tracking.
    """

    difficulty: str
    tracker: str
    ours: bool
    measures: TrackMeasures
    by_landmark: Mapping[str, float]
    phantoms: int
    speed: LandmarkSpeed | None

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        names = {"difficulty": self.difficulty, "phantoms": self.phantoms, "tracker": self.tracker}
        return {**names, "ours": self.ours, **flat_measures(self.measures)}


COLUMNS: tuple[Column[LandmarkRow], ...] = (
    Column("phantoms", lambda row: f"{row.difficulty} ({row.phantoms})"),
    Column("tracker", "tracker", names_method=True),
    Column("mean", "measures.tracking_error.mean", 2, unit="mm"),
    Column("std", "measures.tracking_error.std", 2),
    Column("95th", "measures.tracking_error.percentile_95", 2),
    Column("min", "measures.tracking_error.min", 2),
    Column("max", "measures.tracking_error.max", 2),
    Column("NoTE mean", "measures.no_tracking_error.mean", 2),
    Column("lost", lambda row: f"{row.measures.lost_count}/{row.measures.point_count}"),
    Column("over 2 mm", lambda row: large_errors(row.by_landmark)),
    Column("fps 1", lambda row: None if row.speed is None else row.speed.one, 1),
    Column("fps 5", lambda row: None if row.speed is None else row.speed.five, 1),
)
"""Tracking error over all positions where the truth is seen, the same had nothing been tracked (NoTE), the landmarks
lost for good, those with a mean error above 2 mm, and frames a second with one landmark and with five.
"""

CASES: CaseMeasure[LandmarkRow] = CaseMeasure(
    "mean mm of a landmark",
    values=lambda row: row.by_landmark,
    method=lambda row: row.tracker,
    group=lambda row: row.difficulty,
    digits=2,
)


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


def second_source_livers(
    difficulties: Sequence[str], *, count: int, seed: int, cache: Path | None = None
) -> Iterator[BenchmarkCase]:
    """Simulates one breathing liver after the other by the second simulator (`lab.second_source`); the landmarks are
    its vessels that the first frame shows.

    Raises:
        InputError: see `second_source_cases`.
    """
    from UltrasoundMotionLib.lab.second_source.cases import second_source_cases

    for drawn in second_source_cases(("liver",), difficulties, count=count, seed=seed, cache=cache):
        case = drawn.benchmark_case(len(drawn.clip.truth.labels))
        truth = only_vessels(case.truth)
        if truth.labels:
            yield BenchmarkCase("liver", case.difficulty, case.name, case.sequence, truth)


def only_vessels(truth: PointTracks) -> PointTracks:
    """The points that are vessels or forks of vessels."""
    return choose_points(truth, [index for index, label in enumerate(truth.labels) if label.startswith(VESSELS)])


def benchmark_landmarks(
    cases: Iterable[BenchmarkCase],
    trackers: Sequence[BenchmarkTracker],
    *,
    case_count: int = 0,
    wall_clock: bool = False,
    tracks_folder: Path | None = None,
    no_tracking: bool = False,
    progress: Progress = no_progress,
) -> BenchmarkResult[LandmarkRow]:
    """Runs every tracker on every case, one case in memory at a time, and times each on the beginning of the first.

    Args:
        case_count: how many cases to expect, for `progress` only.
        tracks_folder: keeps what each tracker found as a CSV; what is there already is read rather than tracked again.
        wall_clock: time by the wall clock, as a GPU needs; else by processor seconds, which other work on the machine
            does not stretch.
        no_tracking: begin each group with a row of landmarks that stay where they began.

    Raises:
        InputError: there is no case; see `compare_tracks`.
    """
    errors: dict[tuple[str, str], list[TrackErrors]] = {}
    speeds: dict[str, LandmarkSpeed] = {}
    frame_count = 0
    for done, case in enumerate(cases):
        if not speeds:
            frame_count = len(case.sequence)
            speeds = {tracker.name: _speed(tracker, case, wall_clock) for tracker in trackers}
        for number, tracker in enumerate(trackers):
            progress(done * len(trackers) + number, case_count * len(trackers), f"{case.name}: {tracker.name}")
            compared = compare_tracks(_tracks(tracker, case, tracks_folder), case.truth, name=case.name)
            groups = (case.difficulty, ALL, *((HARDER_HALF_NAME,) if case.difficulty in HARDER_HALF else ()))
            for group in groups:
                errors.setdefault((group, tracker.name), []).append(compared)
    if not errors:
        raise InputError("no phantom shows a vessel on its first frame; take another seed or more phantoms")
    progress(case_count * len(trackers), case_count * len(trackers), "done")
    order = sorted(errors, key=lambda key: (*DIFFICULTIES, HARDER_HALF_NAME, ALL).index(key[0]))
    rows = tuple(_row(group, errors[group, name], speeds[name]) for group, name in order)
    if no_tracking:
        rows = _with_no_tracking(rows, errors)
    details = {
        "frame_count": frame_count,
        "frames_per_second_of": "wall clock" if wall_clock else "processor",
        "speeds": [asdict(speed) for speed in speeds.values()],
    }
    harder = {row.tracker: row.measures for row in rows if row.difficulty == HARDER_HALF_NAME}
    targets = landmark_targets(harder, {one.tracker: (one.one, one.five) for one in speeds.values() if one.ours})
    return BenchmarkResult(COLUMNS, rows, targets, details, cases=CASES, against=FIXED_TEMPLATE)


def _row(group: str, errors: Sequence[TrackErrors], speed: LandmarkSpeed) -> LandmarkRow:
    return LandmarkRow(
        group, speed.tracker, speed.ours, measure_tracks(errors), landmark_means(errors), len(errors), speed
    )


def _with_no_tracking(
    rows: Sequence[LandmarkRow], errors: Mapping[tuple[str, str], Sequence[TrackErrors]]
) -> tuple[LandmarkRow, ...]:
    """Returns the rows with one of landmarks that stay where they began before each group."""
    found: list[LandmarkRow] = []
    for row in rows:
        if not found or found[-1].difficulty != row.difficulty:
            measures = replace(row.measures, tracking_error=row.measures.no_tracking_error, lost_count=0)
            several = errors[row.difficulty, row.tracker]
            means = landmark_means(several, no_tracking=True)
            found.append(LandmarkRow(row.difficulty, NO_TRACKING, False, measures, means, row.phantoms, None))
        found.append(row)
    return tuple(found)


def _tracks(tracker: BenchmarkTracker, case: BenchmarkCase, folder: Path | None) -> PointTracks:
    """Tracks of the tracker: read from the folder where they are there, else made and kept there."""
    name = tracker.name.replace(" ", "-") + (f"-{tracker.weights.stem}" if tracker.weights else "")
    kept = None if folder is None else folder / f"{case.name}-{len(case.sequence)}-{name}.csv"
    if kept is not None and kept.exists():
        return replace(read_tracks_csv(kept), query_frame=0)
    tracks = tracker.track(case.sequence, case.truth.positions_px[0], labels=case.truth.labels)
    if kept is not None:
        write_tracks_csv(kept, tracks)
    return tracks


def _speed(tracker: BenchmarkTracker, case: BenchmarkCase, wall_clock: bool) -> LandmarkSpeed:
    """Measures frames a second with one landmark and with five; where there are fewer, some are given twice.

    A tracker that is online is timed by `update`, the first few frames left out; another by the whole beginning.
    """
    clock = time.perf_counter if wall_clock else time.process_time
    frames = [
        np.asarray(case.sequence.frame(index), dtype=np.float32)
        for index in range(min(SPEED_FRAMES, len(case.sequence)))
    ]
    rates = []
    for count in SPEED_LANDMARKS:
        points = np.resize(case.truth.positions_px[0], (count, 2))
        if not tracker.online:
            began = clock()
            tracker.track(ImageSequence(np.stack(frames)), points)
            rates.append(len(frames) / max(clock() - began, 1e-9))
            continue
        followed = tracker.create()
        followed.start(frames[0], points)
        warm = min(3, len(frames) - 1)
        for frame in frames[1 : 1 + warm]:
            followed.update(frame)
        rest = frames[1 + warm :] or frames[-1:]
        began = clock()
        for frame in rest:
            followed.update(frame)
        rates.append(len(rest) / max(clock() - began, 1e-9))
    return LandmarkSpeed(tracker.name, tracker.ours, *rates)


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "landmarks", help="landmark trackers on minutes of simulated breathing, in mm", description=DESCRIPTION
    )
    add_phantom_arguments(parser, kinds=False, count=2)
    parser.add_argument(
        "--frames", metavar="T", type=whole_number, default=FRAME_COUNT, help=f"of each phantom (default {FRAME_COUNT})"
    )
    parser.add_argument(
        "--points", metavar="N", type=whole_number, help="at most so many landmarks a clip (default: all that are seen)"
    )
    parser.add_argument(
        "--second-source",
        action="store_true",
        help="livers of another simulator (difficulties easy and hard, 64 frames) in place of our own",
    )
    parser.add_argument("--cache", metavar="DIR", type=Path, help="with --second-source: keep its clips in this folder")
    parser.add_argument(
        "--no-tracking", action="store_true", help="first a row of landmarks that stay where they began"
    )
    parser.add_argument(
        "--failure-cases",
        action="store_true",
        help="a second table: ours watching shadows, offline, and acting a frame late, with prediction or not",
    )
    parser.add_argument(
        "--watch-shadows", action="store_true", help="a second row for each of ours with `track --watch-shadows`"
    )
    parser.add_argument(
        "--tracks",
        metavar="DIR",
        type=Path,
        help="keep what each tracker found in this folder (one a seed); what is there is not tracked again",
    )
    add_tracker_arguments(parser)
    add_output_arguments(parser, against=FIXED_TEMPLATE)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it; of ours those that are made for landmarks, unless named."""
    check_arguments(arguments)
    if arguments.frames < 2:
        raise InputError("--frames 1: there is nothing to follow; take 2 or more")
    if arguments.tracks is not None and not arguments.tracks.is_dir():
        raise InputError(f"--tracks {arguments.tracks}: is no folder; make it first")
    chosen = chosen_trackers(arguments, kind="landmarks")
    trackers = _with_watched(chosen.trackers) if arguments.watch_shadows else chosen.trackers
    if arguments.cache is not None and not (arguments.second_source and arguments.cache.is_dir()):
        raise InputError(f"--cache {arguments.cache}: needs --second-source and a folder that is there")
    cases: Iterable[BenchmarkCase]
    difficulties = arguments.difficulty
    if arguments.second_source:
        difficulties = ("hard",) if difficulties == DIFFICULTIES else difficulties
        cases = second_source_livers(difficulties, count=arguments.count, seed=arguments.seed, cache=arguments.cache)
    else:
        cases = landmark_cases(difficulties, count=arguments.count, seed=arguments.seed, frame_count=arguments.frames)
    if arguments.points is not None:
        cases = (replace(case, truth=thin_points(case.truth, arguments.points)) for case in cases)
    if arguments.failure_cases:
        cases = list(cases)
    case_count = len(difficulties) * arguments.count
    failures: tuple[FailureRow, ...] = ()
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_landmarks(
            cases,
            trackers,
            case_count=case_count,
            wall_clock=arguments.device != "cpu",
            tracks_folder=arguments.tracks,
            no_tracking=arguments.no_tracking,
            progress=progress,
        )
        if isinstance(cases, list):
            failures = failure_rows(cases, chosen.trackers, progress=progress)
    speed_of = result.details["frames_per_second_of"]
    frames = f"{result.details['frame_count']} frames each, device {arguments.device}; fps of {speed_of} time"
    source = " of the second simulator" if arguments.second_source else ""
    print(f"{case_count} livers{source} of seed {arguments.seed}, {frames}")
    if failures:
        table = failure_result(failures)
        result = replace(result, details={**result.details, table.rows_key: table.as_dict()[table.rows_key]})
    show(result, arguments, chosen.missing)
    if failures:
        print()
        print(table.table(markdown=arguments.markdown))
    return 0


def _with_watched(trackers: Sequence[BenchmarkTracker]) -> tuple[BenchmarkTracker, ...]:
    """Returns ours, then those of them that are online again with `track --watch-shadows`, then the peers."""
    from UltrasoundMotionLib.tracking.wrappers.watched_tracker import WatchedTracker

    def watched(create: Callable[[], OnlineTracker]) -> Callable[[], OnlineTracker]:
        return lambda: WatchedTracker(create())

    ours = [one for one in trackers if one.ours]
    both = [
        *ours,
        *(replace(one, name=f"{one.name} watched", create=watched(one.create)) for one in ours if one.online),
    ]
    return (*both, *(one for one in trackers if not one.ours))
