"""`benchmark corrections`: tracks through several corrected frames, fused, against what else one could do with the same
corrections, on phantoms.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.command import (
    add_output_arguments,
    add_phantom_arguments,
    check_arguments,
    show,
)
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column
from UltrasoundMotionLib.lab.phantom_cases import EVALUATION_SEED, BenchmarkCase, phantom_cases
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.corrections.corrections import CorrectedFrames
from UltrasoundMotionLib.tracking.corrections.track_corrected import track_passes
from UltrasoundMotionLib.tracking.request import TrackRequest

COUNTS = (2, 3, 5)
"""Corrected frames of a clip, the first and the last included."""

FUSED = "fused"
SEED = EVALUATION_SEED + 15

DESCRIPTION = """Places points of simulated hearts and livers exactly on a few frames, evenly over the clip, and
compares the error on the frames between: fused tracks (`track --corrections`), forwards from the corrected frame before
(what "Track again from here" on each gives), from the nearer corrected frame forwards or backwards, and straight lines
between the corrections. The error of a phantom is the mean distance over its points and the frames between."""


@dataclass(frozen=True)
class CorrectionsRow:
    """Error of one method with one number of corrected frames, in mm: over all phantoms, and of each."""

    corrected: int
    method: str
    mean_mm: float
    percentile_95_mm: float
    by_phantom: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        names = ("corrected", "method", "mean_mm", "percentile_95_mm")
        return {name: getattr(self, name) for name in names}


COLUMNS: tuple[Column[CorrectionsRow], ...] = (
    Column("corrected frames", "corrected"),
    Column("method", "method", names_method=True),
    Column("mean", "mean_mm", 3, unit="mm"),
    Column("95th", "percentile_95_mm", 3),
)

CASES: CaseMeasure[CorrectionsRow] = CaseMeasure(
    "mean mm",
    values=lambda row: row.by_phantom,
    method=lambda row: row.method,
    group=lambda row: str(row.corrected),
)


def benchmark_corrections(
    cases: Iterable[BenchmarkCase],
    *,
    counts: Sequence[int] = COUNTS,
    request: TrackRequest | None = None,
    progress: Progress = no_progress,
    total: int = 0,
) -> BenchmarkResult[CorrectionsRow]:
    """Measures every method on every case.

    Args:
        counts: numbers of corrected frames.
        request: the tracker; the default one of points when None.
        total: number of cases, for `progress`.

    Raises:
        InputError: fewer than two corrected frames.
    """
    if min(counts) < 2:
        raise InputError(f"corrected frames must be at least 2, got {min(counts)}")
    errors: dict[tuple[int, str], dict[str, np.ndarray]] = {}
    for done, case in enumerate(cases):
        progress(done, total, case.name)
        for count in counts:
            for method, distances in _errors(case, count, request or TrackRequest()).items():
                errors.setdefault((count, method), {})[case.name] = distances
    progress(total, total, "done")
    rows = []
    for (count, method), by_case in errors.items():
        pooled = np.concatenate(list(by_case.values()))
        by_phantom = {name: float(distances.mean()) for name, distances in by_case.items()}
        row = CorrectionsRow(count, method, float(pooled.mean()), float(np.percentile(pooled, 95)), by_phantom)
        rows.append(row)
    return BenchmarkResult(COLUMNS, tuple(rows), cases=CASES, against=FUSED)


def _errors(case: BenchmarkCase, count: int, request: TrackRequest) -> dict[str, np.ndarray]:
    """The distances in mm of each method, over the points that stay in the image and the frames between corrections."""
    sequence, truth = case.sequence, case.truth.positions_px
    width, height = sequence.frame_size
    inside = np.all((truth >= 0) & (truth <= [width - 1, height - 1]), axis=(0, 2))
    truth = truth[:, inside]
    labels = tuple(np.array(case.truth.labels)[inside].tolist())
    corrected = np.unique(np.linspace(0, len(sequence) - 1, count).round().astype(int))
    positions = np.full(truth.shape, np.nan)
    positions[corrected] = truth[corrected]
    frames = CorrectedFrames(labels, positions, np.zeros(truth.shape[:2], dtype=bool))
    found = track_passes(sequence, frames, request=request)
    forward, backward = found.forward.positions_px, found.backward.positions_px
    every = np.arange(len(sequence))
    before = corrected[np.searchsorted(corrected, every, side="right") - 1]
    after = corrected[np.minimum(np.searchsorted(corrected, every), len(corrected) - 1)]
    nearer = (every - before <= after - every)[:, None, None]
    lines = np.stack(
        [
            [np.interp(every, corrected, truth[corrected, point, axis]) for axis in range(2)]
            for point in range(len(labels))
        ]
    ).transpose(2, 0, 1)
    methods = {
        FUSED: found.fused().tracks.positions_px,
        "forward": forward,
        "nearer": np.where(nearer, forward, backward),
        "straight lines": lines,
    }
    between = np.setdiff1d(every, corrected)
    scale = np.asarray(sequence.spacing_mm)
    return {
        name: np.linalg.norm((tracked[between] - truth[between]) * scale, axis=2).ravel()
        for name, tracked in methods.items()
    }


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "corrections", help="tracks through several corrected frames, on phantoms", description=DESCRIPTION
    )
    add_phantom_arguments(parser, difficulties=("moderate", "hard", "extreme"), count=4, seed=SEED)
    parser.add_argument("--model", default=TrackRequest.model, help="the tracker (default %(default)s)")
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    check_arguments(arguments)
    cases = phantom_cases(
        arguments.kind, arguments.difficulty, count=arguments.count, seed=arguments.seed, most_points=12
    )
    total = len(arguments.kind) * len(arguments.difficulty) * arguments.count
    with TerminalProgress("benchmark", "phantoms") as progress:
        result = benchmark_corrections(
            cases, request=TrackRequest(model=arguments.model), progress=progress, total=total
        )
    show(result, arguments)
    return 0
