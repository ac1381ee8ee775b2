"""The table of the tracking experiment: ours and the paper's figures side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.lab.benchmarks.ssmsr.published import SSMSR, TABLE_2
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column


@dataclass(frozen=True)
class TrackedFrame:
    """A frame registered to the one before it.

    Attributes:
        clip, frame: name of the clip, number of the frame.
        mse, nlcc: in the frame's region, intensities in [0, 1], windows of radius ten (III-B).
        folded: share of the region's pixels that fold.
        seconds: of the registration; of a clip's network its share.
    """

    clip: str
    frame: int
    mse: float
    nlcc: float
    folded: float
    seconds: float


@dataclass(frozen=True)
class TrackingRow:
    """One method on all frames."""

    tissue: str
    method: str
    frames: tuple[TrackedFrame, ...]

    def values(self, name: str) -> np.ndarray:
        """A measure of every frame."""
        return np.array([getattr(one, name) for one in self.frames])

    def paper(self, index: int) -> float | None:
        """MSE (0) or NLCC (1) of the row in the paper; None where it has none."""
        figures = TABLE_2[self.tissue].get(self.method)
        return None if figures is None else figures[index]


COLUMNS: tuple[Column[TrackingRow], ...] = (
    Column("method", "method", names_method=True),
    Column("frames", lambda row: len(row.frames)),
    Column("MSE 1e-3", lambda row: float(1e3 * row.values("mse").mean()), 4),
    Column("std", lambda row: float(1e3 * row.values("mse").std()), 4),
    Column("NLCC 1e-1", lambda row: float(10 * row.values("nlcc").mean()), 4),
    Column("std", lambda row: float(10 * row.values("nlcc").std()), 4),
    Column("paper: MSE", lambda row: row.paper(0), 4),
    Column("NLCC", lambda row: row.paper(1), 4),
    Column("folded %", lambda row: float(100 * row.values("folded").mean())),
    Column("s a pair", lambda row: float(row.values("seconds").mean()), 2),
)

CASES: CaseMeasure[TrackingRow] = CaseMeasure(
    "NLCC 1e-1",
    values=lambda row: {f"{one.clip} {one.frame}": 10 * one.nlcc for one in row.frames},
    method=lambda row: row.method,
)


def tracking_result(
    rows: Sequence[TrackingRow], details: Mapping[str, object], missing: Mapping[str, str]
) -> BenchmarkResult[TrackingRow]:
    """The table, the paper's figures beside ours."""
    return BenchmarkResult(COLUMNS, tuple(rows), details=details, cases=CASES, against=SSMSR, missing=missing)
