"""Strain from tracks on phantoms whose strain is known: how far off, how reproducible, and whether the stated
uncertainty is true.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.benchmark_trackers import BenchmarkTracker, run_timed
from UltrasoundMotionLib.lab.benchmarks.strain_cases import StrainCase, given_on
from UltrasoundMotionLib.lab.benchmarks.target import Target
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.strain import StrainResult, layered_strain, longitudinal_strain
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

ALL = "all"
MAE_GOAL, BIAS_GOAL, SEGMENT_GOAL, EXACT_GOAL, REPRODUCIBILITY_GOAL, SPEED_GOAL_MS = 1.0, 0.5, 3.0, 0.1, 1.0, 50.0
SPEED_FRAMES, SPEED_POINTS, SPEED_RUNS = 100, 100, 5


@dataclass(frozen=True)
class StrainErrors:
    """One tracker on one clip; differences are measured minus true, in percent points. None: no number was given.

    Attributes:
        difficulty, name, tracker: what and who.
        true_gls_percent: exact.
        gls_error, smoothed_gls_error: of GLS, events found from the tracks themselves.
        segment_errors: of the accepted segments' peak systolic strain, each.
        rejected_segments: how many.
        end_systole_error_frames: found minus true.
        stated_deviation: what the result says of its own error, one standard deviation.
        in_interval: whether the truth lies in the stated 95 % interval.
        gls_by_query_frame: GLS with the contour given on other frames of the beat, the first of them end-diastole.
        position_error_mm: mean distance of the tracked points from the truth.
    """

    difficulty: str
    name: str
    tracker: str
    true_gls_percent: float
    gls_error: float | None
    smoothed_gls_error: float | None
    segment_errors: tuple[float, ...]
    rejected_segments: int
    end_systole_error_frames: int | None
    stated_deviation: float | None
    in_interval: bool | None
    gls_by_query_frame: tuple[float, ...]
    position_error_mm: float

    @property
    def query_frame_deviation(self) -> float | None:
        """Standard deviation of GLS over the frames on which the contour was given."""
        return float(np.std(self.gls_by_query_frame, ddof=1)) if len(self.gls_by_query_frame) > 1 else None


@dataclass(frozen=True)
class StrainRow:
    """What one tracker reached on clips of one difficulty, or on all."""

    difficulty: str
    tracker: str
    clips: tuple[StrainErrors, ...]

    def mean(self, name: str, *, absolute: bool = False) -> float | None:
        """Mean of a number of the clips that have it."""
        values = [getattr(clip, name) for clip in self.clips if getattr(clip, name) is not None]
        return float(np.mean(np.abs(values) if absolute else values)) if values else None

    def deviation(self, name: str) -> float | None:
        """Standard deviation (n - 1) of a number over the clips that have it."""
        values = [getattr(clip, name) for clip in self.clips if getattr(clip, name) is not None]
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    @property
    def segment_errors(self) -> np.ndarray:
        """Absolute errors of all accepted segments."""
        return np.abs([error for clip in self.clips for error in clip.segment_errors])

    @property
    def summary(self) -> dict[str, float | int | None]:
        """Every figure of the row by its name."""
        segments = self.segment_errors
        systole = [
            abs(clip.end_systole_error_frames) for clip in self.clips if clip.end_systole_error_frames is not None
        ]
        return {
            "clips": len(self.clips),
            "without_gls": sum(clip.gls_error is None for clip in self.clips),
            "gls_mae": self.mean("gls_error", absolute=True),
            "gls_bias": self.mean("gls_error"),
            "gls_sd": self.deviation("gls_error"),
            "smoothed_gls_mae": self.mean("smoothed_gls_error", absolute=True),
            "smoothed_gls_bias": self.mean("smoothed_gls_error"),
            "segment_mae": float(segments.mean()) if segments.size else None,
            "segments_within_3": float(np.mean(segments <= SEGMENT_GOAL)) if segments.size else None,
            "rejected_segments": sum(clip.rejected_segments for clip in self.clips),
            "end_systole_within_1": float(np.mean(np.array(systole) <= 1)) if systole else None,
            "query_frame_sd": self.mean("query_frame_deviation"),
            "stated_deviation": self.mean("stated_deviation"),
            "coverage_95": self.mean("in_interval"),
            "position_error_mm": self.mean("position_error_mm"),
        }


@dataclass(frozen=True)
class StrainBenchmark:
    """All rows, strain from exact tracks, and the time that it takes."""

    rows: tuple[StrainRow, ...]
    exact_gls_errors: tuple[float, ...]
    computation_ms: float
    layer_count: int
    threads: int

    def targets(self) -> tuple[Target, ...]:
        """The issue's goals: exact tracks, and each tracker of ours over all clips."""
        exact = max(abs(error) for error in self.exact_gls_errors)
        targets = [
            Target(
                "GLS from exact tracks: largest error",
                f"within {EXACT_GOAL} points",
                f"{exact:.3f}",
                exact <= EXACT_GOAL,
            ),
            Target(
                f"{SPEED_FRAMES} frames, {SPEED_POINTS} points: computation",
                f"under {SPEED_GOAL_MS:g} ms",
                f"{self.computation_ms:.1f}",
                self.computation_ms < SPEED_GOAL_MS,
            ),
        ]
        for row in self.rows:
            if row.difficulty == ALL:
                figures = row.summary
                goals = (
                    ("GLS: mean absolute error", f"under {MAE_GOAL} points", figures["gls_mae"], MAE_GOAL),
                    ("GLS: bias", f"under {BIAS_GOAL} points", figures["gls_bias"], BIAS_GOAL),
                    (
                        "GLS: deviation over query frames",
                        f"under {REPRODUCIBILITY_GOAL} points",
                        figures["query_frame_sd"],
                        REPRODUCIBILITY_GOAL,
                    ),
                    (
                        "segments' peak: mean absolute error",
                        f"under {SEGMENT_GOAL} points",
                        figures["segment_mae"],
                        SEGMENT_GOAL,
                    ),
                )
                for what, goal, value, limit in goals:
                    met = value is not None and abs(value) < limit
                    targets.append(Target(f"{row.tracker}, {what}", goal, format_number(value, 2), met))
                within = figures["end_systole_within_1"]
                targets.append(
                    Target(
                        f"{row.tracker}, end-systole", "within one frame, all", format_number(within, 2), within == 1.0
                    )
                )
        return tuple(targets)

    def table(self, markdown: bool = False) -> str:
        """One line for each tracker and difficulty; errors in percent points."""
        header = [
            "clips",
            "tracker",
            "GLS MAE",
            "bias",
            "SD",
            "smoothed MAE",
            "bias",
            "segm. MAE",
            "within 3",
            "rejected",
            "ES +-1",
        ]
        header += ["query SD", "stated SD", "in 95 %", "tracks mm"]
        rows = []
        for row in self.rows:
            figures = row.summary
            names = (
                "gls_mae",
                "gls_bias",
                "gls_sd",
                "smoothed_gls_mae",
                "smoothed_gls_bias",
                "segment_mae",
                "segments_within_3",
            )
            more = ("end_systole_within_1", "query_frame_sd", "stated_deviation", "coverage_95", "position_error_mm")
            rejected = f"{figures['rejected_segments']}/{6 * figures['clips']}"
            numbers = [format_number(figures[name], 2) for name in names]
            rows.append(
                [
                    f"{row.difficulty} ({figures['clips']})",
                    row.tracker,
                    *numbers,
                    rejected,
                    *(format_number(figures[name], 2) for name in more),
                ]
            )
        return (markdown_table if markdown else text_table)(header, rows)

    def as_dict(self) -> dict:
        """For JSON."""
        return {
            "layer_count": self.layer_count,
            "threads": self.threads,
            "exact_gls_errors": list(self.exact_gls_errors),
            "computation_ms": self.computation_ms,
            "rows": [
                {"difficulty": row.difficulty, "tracker": row.tracker, **row.summary}
                | ({} if row.difficulty == ALL else {"clips_each": [asdict(clip) for clip in row.clips]})
                for row in self.rows
            ],
            "targets": [vars(target) for target in self.targets()],
        }


def benchmark_strain(
    cases: Iterable[StrainCase],
    trackers: Sequence[BenchmarkTracker],
    *,
    layer_count: int = 3,
    query_frame_count: int = 4,
    case_count: int = 0,
    threads: int = 1,
    progress: Progress = no_progress,
) -> StrainBenchmark:
    """Tracks each wall with every tracker, and compares its strain with the truth.

    The contour is the true one on the query frame, every point of it, whether or not that frame shows it, as a reader
    draws it: at end-diastole for the errors, and on `query_frame_count` frames evenly spread over the beat
    (end-diastole first) for reproducibility. Strain is the mid-wall's.

    Args:
        layer_count: 3 tracks inner, middle and outer contour together; 1 the middle one alone.
        case_count: how many cases to expect, for `progress` only.
        threads: for the report only; `benchmark_trackers` sets them.
    """
    errors: dict[tuple[str, str], list[StrainErrors]] = {}
    exact = []
    for done, case in enumerate(cases):
        exact.append(_gls(longitudinal_strain(given_on(case, case.end_diastole_frame, 1))) - case.gls_percent)
        for number, tracker in enumerate(trackers):
            progress(done * len(trackers) + number, case_count * len(trackers), f"{case.name}: {tracker.name}")
            measured = _measure(case, tracker, layer_count, query_frame_count)
            for difficulty in (case.difficulty, ALL):
                errors.setdefault((difficulty, tracker.name), []).append(measured)
    if not exact:
        raise InputError("no phantom to measure strain on")
    progress(case_count * len(trackers), case_count * len(trackers), "done")
    order = sorted(errors, key=lambda key: key[0] == ALL)
    rows = tuple(StrainRow(difficulty, name, tuple(errors[difficulty, name])) for difficulty, name in order)
    return StrainBenchmark(rows, tuple(exact), computation_ms(), layer_count, threads)


def computation_ms() -> float:
    """Median processor milliseconds to compute strain from 100 frames of 100 points that beat like a heart, uncertainty
    included.
    """
    angle = np.linspace(-1.7, 1.7, SPEED_POINTS)
    contour = np.stack([128 + 45 * np.sin(angle), 190 - 130 * np.cos(angle)], axis=1)
    squeeze = 1 - 0.2 * np.sin(np.pi * np.arange(SPEED_FRAMES) / (SPEED_FRAMES - 1)) ** 2
    positions = np.array([128.0, 190.0]) + squeeze[:, None, None] * (contour - [128.0, 190.0])
    positions += np.random.default_rng(0).normal(0, 0.05, positions.shape)
    shape = positions.shape[:2]
    labels = tuple(f"W{number}" for number in range(SPEED_POINTS))
    times = np.arange(SPEED_FRAMES) / 80
    tracks = PointTracks(positions, np.ones(shape), np.ones(shape, dtype=bool), labels, 0, times, (0.5, 0.5))
    longitudinal_strain(tracks)
    seconds = []
    for _ in range(SPEED_RUNS):
        started = time.process_time()
        longitudinal_strain(tracks)
        seconds.append(time.process_time() - started)
    return 1000 * float(np.median(seconds))


def _measure(case: StrainCase, tracker: BenchmarkTracker, layer_count: int, query_frame_count: int) -> StrainErrors:
    spread = np.linspace(case.end_diastole_frame, case.next_end_diastole_frame, query_frame_count, endpoint=False)
    by_query_frame = []
    first: tuple[StrainResult | None, PointTracks, PointTracks] | None = None
    for query_frame in np.unique(spread.round().astype(int)).tolist():
        truth = given_on(case, query_frame, layer_count)
        tracks, _ = run_timed(tracker, case.sequence, truth)
        tracks = replace(tracks, times_s=case.sequence.times_s, spacing_mm=case.sequence.spacing_mm)
        result = _strain(case, tracks, layer_count)
        first = first or (result, tracks, truth)
        if result is not None and result.measures.gls_percent is not None:
            by_query_frame.append(_gls(result))
    result, tracks, truth = first
    distance = np.linalg.norm((tracks.positions_px - truth.positions_px) * np.asarray(case.sequence.spacing_mm), axis=2)
    common = (case.difficulty, case.name, tracker.name, case.gls_percent)
    if result is None:
        return StrainErrors(
            *common, None, None, (), 6, None, None, None, tuple(by_query_frame), float(np.nanmean(distance))
        )
    gls, uncertainty = result.measures.gls_percent, result.uncertainty
    segments = zip(result.segment_measures, case.peak_systolic_percent, strict=True)
    smooth = None if result.smoothed is None else result.smoothed.measures.gls_percent
    return StrainErrors(
        *common,
        gls_error=None if gls is None else gls - case.gls_percent,
        smoothed_gls_error=None if smooth is None else smooth - case.gls_percent,
        segment_errors=tuple(
            one.peak_systolic_percent - float(true) for one, true in segments if one.peak_systolic_percent is not None
        ),
        rejected_segments=sum(not quality.accepted for quality in result.quality),
        end_systole_error_frames=result.cycle.end_systole_frame - case.end_systole_frame,
        stated_deviation=None if uncertainty is None else uncertainty.standard_deviation_percent,
        in_interval=None
        if uncertainty is None
        else bool(uncertainty.low_percent <= case.gls_percent <= uncertainty.high_percent),
        gls_by_query_frame=tuple(by_query_frame),
        position_error_mm=float(np.nanmean(distance)),
    )


def _strain(case: StrainCase, tracks: PointTracks, layer_count: int) -> StrainResult | None:
    """Of the mid-wall; None where the tracks are refused (no beat in them, a contour that collapsed)."""
    try:
        return layered_strain(tracks, case.layers).layers["mid"] if layer_count > 1 else longitudinal_strain(tracks)
    except InputError:
        return None


def _gls(result: StrainResult) -> float:
    return float(result.measures.gls_percent)
