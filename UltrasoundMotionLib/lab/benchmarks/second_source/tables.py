"""The tables of `benchmark second-source`: all groups of clips side by side, each group's spread over its clips, and
the project's targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from UltrasoundMotionLib.lab.benchmarks.second_source.rows import ClipRow
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column, Target
from UltrasoundMotionLib.text_table import format_number

BEST_PEER = "best of OpenCV per clip"
WIRES, LABELS = "wires", "hand labels"
ACCURACY_GOAL, MEDIAN_GOAL_PX, STRAIN_GOAL, WIRES_GOAL_PX, LABELS_GOAL_PX = 91.0, 0.8, 1.0, 0.4, 2.1


@dataclass(frozen=True)
class GroupRow:
    """Results of one tracker in one group of clips with truth.

    Attributes:
        group: of the clips.
        tracker: its name, or `BEST_PEER`.
        ours: whether it is of this project.
        rows: one for each clip; empty for `BEST_PEER`.
        accuracy: mean position accuracy in percent, by clip.
    """

    group: str
    tracker: str
    ours: bool
    rows: tuple[ClipRow, ...]
    accuracy: Mapping[str, float]

    @property
    def mean_accuracy(self) -> float:
        """Mean over clips."""
        return float(np.mean(list(self.accuracy.values())))

    @property
    def errors_px(self) -> np.ndarray:
        """Errors of all positions of all clips."""
        return np.array([error for row in self.rows for error in row.errors_px])

    @property
    def median_px(self) -> float | None:
        """Median error over all positions."""
        return float(np.median(self.errors_px)) if self.rows else None

    @property
    def percentile_95_px(self) -> float | None:
        """95th percentile of the error over all positions."""
        return float(np.percentile(self.errors_px, 95)) if self.rows else None

    @property
    def lost_count(self) -> int:
        """Points lost for good."""
        return sum(row.lost or 0 for row in self.rows)

    @property
    def point_count(self) -> int:
        """Points that were followed."""
        return sum(row.points or 0 for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        names = (
            "group",
            "tracker",
            "ours",
            "mean_accuracy",
            "median_px",
            "percentile_95_px",
            "lost_count",
            "point_count",
        )
        return {name: getattr(self, name) for name in names}


def _mean_of(name: str, row: GroupRow) -> float | None:
    values = [getattr(one, name) for one in row.rows if getattr(one, name) is not None]
    return float(np.mean(values)) if values else None


COLUMNS: tuple[Column[GroupRow], ...] = (
    Column("clips", lambda row: f"{row.group} ({len(row.accuracy)})"),
    Column("tracker", "tracker", names_method=True),
    Column("median", "median_px", 2, unit="px"),
    Column("95th", "percentile_95_px", 2, unit="px"),
    Column("lost", lambda row: f"{row.lost_count}/{row.point_count}" if row.rows else None),
    Column("OA", partial(_mean_of, "occlusion_accuracy")),
    Column("fps", partial(_mean_of, "frames_per_second"), 1),
    Column("accuracy", "mean_accuracy", 1, unit="%"),
)
CASES: CaseMeasure[GroupRow] = CaseMeasure(
    "accuracy",
    values=lambda row: row.accuracy,
    method=lambda row: row.tracker,
    group=lambda row: row.group,
    digits=1,
)


def group_rows(rows: Sequence[ClipRow]) -> tuple[GroupRow, ...]:
    """Gathers the clips with truth of each group and tracker, and after each group the best of OpenCV's trackers on
    each clip.
    """
    groups: dict[str, dict[str, list[ClipRow]]] = {}
    for row in rows:
        if row.accuracy_percent is not None:
            groups.setdefault(row.group, {}).setdefault(row.tracker, []).append(row)
    gathered = []
    for group, trackers in groups.items():
        best: dict[str, float] = {}
        for tracker, each in trackers.items():
            accuracy = {row.clip: row.accuracy_percent for row in each if row.accuracy_percent is not None}
            gathered.append(GroupRow(group, tracker, each[0].ours, tuple(each), accuracy))
            if not each[0].ours:
                best |= {clip: max(value, best.get(clip, value)) for clip, value in accuracy.items()}
        if best:
            gathered.append(GroupRow(group, BEST_PEER, False, (), best))
    return tuple(gathered)


def detail_result(rows: Sequence[ClipRow]) -> BenchmarkResult[GroupRow]:
    """Returns the table of every group and tracker, with the difference from the best of OpenCV on each clip."""
    return BenchmarkResult(COLUMNS, group_rows(rows), targets(rows), cases=CASES, against=BEST_PEER)


@dataclass(frozen=True)
class SummaryRow:
    """Results of one tracker in all groups.

    Attributes:
        tracker: its name.
        cells: what the table shows, by column.
    """

    tracker: str
    cells: Mapping[str, str]


def summary_result(rows: Sequence[ClipRow]) -> BenchmarkResult[SummaryRow]:
    """Returns the table with a row for each tracker and a column for each group of clips: mean position accuracy in
    percent / median error in px; for strain the mean absolute error of GLS; and for clips without truth the distance
    from the start after the way there and back / the distance moved.
    """
    gathered = {(row.group, row.tracker): row for row in group_rows(rows)}
    titles: dict[str, str] = {}
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        if row.accuracy_percent is not None:
            titles.setdefault(row.group, f"{row.group} % / px")
            group = gathered[row.group, row.tracker]
            text = f"{group.mean_accuracy:.1f} / {format_number(group.median_px, 2)}"
        elif row.moved_px is not None:
            titles.setdefault(row.group, f"{row.group} px / moved")
            text = f"{row.errors_px[0]:.2f} / {row.moved_px:.1f}"
        else:
            titles.setdefault(row.group, f"{row.group} points")
            text = format_number(mean_gls_error(rows, row.group, row.tracker), 2)
            without = clips_without_gls(rows, row.group, row.tracker)
            text += f" ({without} without)" if without else ""
        cells.setdefault(row.tracker, {})[row.group] = text
    columns = [
        Column[SummaryRow]("tracker", "tracker", names_method=True),
        *(Column[SummaryRow](title, partial(_cell, group)) for group, title in titles.items()),
    ]
    return BenchmarkResult(columns, tuple(SummaryRow(tracker, each) for tracker, each in cells.items()))


def _cell(group: str, row: SummaryRow) -> str | None:
    return row.cells.get(group)


def mean_gls_error(rows: Sequence[ClipRow], group: str, tracker: str) -> float | None:
    """Mean absolute error of global longitudinal strain over the clips that gave one."""
    errors = [
        abs(row.gls_error) for row in rows if (row.group, row.tracker) == (group, tracker) and row.gls_error is not None
    ]
    return float(np.mean(errors)) if errors else None


def clips_without_gls(rows: Sequence[ClipRow], group: str, tracker: str) -> int:
    """Number of clips whose tracks gave no global longitudinal strain."""
    measured = [row for row in rows if (row.group, row.tracker) == (group, tracker) and row.true_gls is not None]
    return sum(row.gls_error is None for row in measured)


def targets(rows: Sequence[ClipRow]) -> tuple[Target, ...]:
    """Compares each of our trackers with the project's goals."""
    gathered = group_rows(rows)
    best = {row.group: row.accuracy for row in gathered if row.tracker == BEST_PEER}
    found: list[Target] = []

    def add(what: str, goal: str, value: float | None, digits: int, reached: Callable[[float], bool]) -> None:
        found.append(Target(what, goal, format_number(value, digits), value is not None and reached(value)))

    for row in gathered:
        if not row.ours:
            continue
        what = f"{row.group}: {row.tracker}"
        if row.group == WIRES:
            add(f"{what}, median", f"under {WIRES_GOAL_PX} px", row.median_px, 2, lambda value: value < WIRES_GOAL_PX)
            add(f"{what}, lost", "none", row.lost_count, 0, lambda value: value == 0)
        elif row.group == LABELS:
            add(f"{what}, median", f"under {LABELS_GOAL_PX} px", row.median_px, 2, lambda value: value < LABELS_GOAL_PX)
        elif row.group.endswith("hard"):
            accuracy, median = f"at least {ACCURACY_GOAL:g} %", f"under {MEDIAN_GOAL_PX} px"
            add(f"{what}, accuracy", accuracy, row.mean_accuracy, 1, lambda value: value >= ACCURACY_GOAL)
            add(f"{what}, median", median, row.median_px, 2, lambda value: value < MEDIAN_GOAL_PX)
        if row.group in best and row.group not in (WIRES, LABELS):
            least = min(row.accuracy[clip] - value for clip, value in best[row.group].items() if clip in row.accuracy)
            add(f"{what}, worst clip", "not below OpenCV's best", least, 1, lambda value: value >= 0)
    strain = dict.fromkeys((row.group, row.tracker) for row in rows if row.true_gls is not None and row.ours)
    for group, tracker in strain:
        error, without = mean_gls_error(rows, group, tracker), clips_without_gls(rows, group, tracker)
        measured = format_number(error, 2) + (f", {without} without" if without else "")
        met = error is not None and error < STRAIN_GOAL and not without
        found.append(Target(f"{group}: {tracker}, mean absolute", f"under {STRAIN_GOAL} points", measured, met))
    return tuple(found)
