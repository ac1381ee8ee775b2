"""The table of the segmentation experiment: ours and the paper's figures side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from UltrasoundMotionLib.lab.benchmarks.registration.pair_rows import MethodResult
from UltrasoundMotionLib.lab.benchmarks.ssmsr.published import SSMSR, TABLE_1
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column


def _dice(row: MethodResult, label: int) -> list[float]:
    return [100 * pair.dice[label] for pair in row.pairs]


def _column(header: str, value: Callable[[MethodResult], float], digits: int = 2) -> Column[MethodResult]:
    return Column(header, lambda row: value(row) if row.pairs else None, digits)


def _paper(header: str, index: int) -> Column[MethodResult]:
    return Column(header, lambda row: TABLE_1[row.method][index] if row.method in TABLE_1 else None, 2)


COLUMNS: tuple[Column[MethodResult], ...] = (
    Column("method", "method", names_method=True),
    Column("images", lambda row: len(row.pairs) or f"skipped: {row.missing}"),
    _column("head %", lambda row: float(np.mean(_dice(row, 1)))),
    _column("std", lambda row: float(np.std(_dice(row, 1)))),
    _column("body %", lambda row: float(np.mean(_dice(row, 2)))),
    _column("std", lambda row: float(np.std(_dice(row, 2)))),
    _column("average", lambda row: float(np.mean([*_dice(row, 1), *_dice(row, 2)]))),
    _paper("paper: head", 0),
    _paper("body", 1),
    _paper("average", 2),
    _column("J <= 0 inside %", lambda row: 100 * row.mean("nonpositive_inside"), 4),
    _column("s", lambda row: row.median("seconds")),
    _column("CPU s", lambda row: row.median("processor_seconds")),
)

CASES: CaseMeasure[MethodResult] = CaseMeasure(
    "Dice %",
    values=lambda row: {pair.pair: 100 * pair.mean_dice for pair in row.pairs},
    method=lambda row: row.method,
    digits=2,
)


def segmentation_result(rows: Sequence[MethodResult], details: Mapping[str, object]) -> BenchmarkResult[MethodResult]:
    """The table, the paper's figures beside ours."""
    return BenchmarkResult(COLUMNS, tuple(rows), details=details, cases=CASES, against=SSMSR, rows_key="methods")
