"""One table for all benchmarks: columns declared once, shown as text or Markdown, written as JSON, with the project's
goals beside it and, where rows are made of cases, how the cases spread and differ from another method's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from operator import attrgetter
from typing import Any, Generic, TypeVar

from UltrasoundMotionLib.evaluation.case_statistics import CaseStatistics, PairedDifference, paired_difference
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table

Row = TypeVar("Row")


@dataclass(frozen=True)
class Column(Generic[Row]):
    """One column of a table.

    Attributes:
        header: without the unit.
        value: what a row shows here: an attribute's name, with dots for attributes of attributes, or a function of the
            row. None becomes "-".
        digits: decimals of a number that is no integer.
        unit: stands behind the header.
        names_method: whether the entries are names of methods; one that could not run has its name here.
    """

    header: str
    value: str | Callable[[Row], Any]
    digits: int = 3
    unit: str = ""
    names_method: bool = False

    @property
    def title(self) -> str:
        """Header and unit."""
        return f"{self.header} {self.unit}".strip()

    def cell(self, row: Row) -> str:
        """Text of the row's entry."""
        read = attrgetter(self.value) if isinstance(self.value, str) else self.value
        return format_number(read(row), self.digits)


@dataclass(frozen=True)
class CaseMeasure(Generic[Row]):
    """The number per case by which the rows of a benchmark are compared.

    Attributes:
        name: of the number, with its unit.
        values: of a row, by the name of the case.
        method: whom a row is about.
        group: what a row is about; only rows of one group are compared.
        digits: decimals.
    """

    name: str
    values: Callable[[Row], Mapping[str, float]]
    method: Callable[[Row], str]
    group: Callable[[Row], str] = lambda row: ""
    digits: int = 3


@dataclass(frozen=True)
class Target:
    """A figure that the project set itself, beside what was measured.

    Attributes:
        what: was measured, of whom.
        goal, measured: in words.
        met: whether the measured value reaches the goal.
    """

    what: str
    goal: str
    measured: str
    met: bool


def target_table(targets: Sequence[Target], *, markdown: bool = False) -> str:
    """One line per target: what, goal, measured, met."""
    rows = [[target.what, target.goal, target.measured, "yes" if target.met else "NO"] for target in targets]
    return (markdown_table if markdown else text_table)(["target", "goal", "measured", "met"], rows)


@dataclass(frozen=True)
class BenchmarkResult(Generic[Row]):
    """Everything that a benchmark measured.

    Attributes:
        columns: of the table.
        rows: what was measured; what JSON keeps of one is its `as_dict()` where it has that method, else its fields.
        targets: the project's goals.
        details: what holds for all rows, for JSON.
        cases: the number per case; None where rows have no cases.
        against: the method that all others are compared with, case by case.
        missing: methods that could not run, and why; each is a row that says so.
        lines: what the table's columns read where a line is not a row; such a table has no columns of case statistics.
        rows_key: the rows' name in JSON.
    """

    columns: Sequence[Column[Any]]
    rows: tuple[Row, ...]
    targets: tuple[Target, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)
    cases: CaseMeasure[Row] | None = None
    against: str | None = None
    missing: Mapping[str, str] = field(default_factory=dict)
    lines: Sequence[Any] | None = None
    rows_key: str = "rows"

    def table(self, markdown: bool = False) -> str:
        """The rows by their columns, then the columns of case statistics where a row has two cases or more."""
        lines = self.rows if self.lines is None else self.lines
        header = [column.title for column in self.columns]
        cells = [[column.cell(line) for column in self.columns] for line in lines]
        if self.cases is not None and self.lines is None and any(len(self.cases.values(row)) > 1 for row in self.rows):
            header += [f"{self.cases.name} per case", "std", "median"]
            header += [f"minus {self.against}", "95 % interval", "Wilcoxon p"] if self._is_compared else []
            cells = [
                [*entries, *self._case_cells(self.cases, row)] for entries, row in zip(cells, self.rows, strict=True)
            ]
        place = next((index for index, column in enumerate(self.columns) if column.names_method), 0)
        for name, reason in self.missing.items():
            entries = ["-"] * len(header)
            entries[place : place + 2] = [name, f"skipped: {reason}"]
            cells.append(entries)
        return (markdown_table if markdown else text_table)(header, cells)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        rows = [self._row_dict(row) for row in self.rows]
        content = {**self.details, self.rows_key: rows, "targets": [asdict(target) for target in self.targets]}
        return content | ({"missing": dict(self.missing)} if self.missing else {})

    def difference(self, row: Row) -> PairedDifference | None:
        """Case by case, a row minus the row of `against` in the same group; None where there are no two common cases,
        and for the method that is compared with.
        """
        if self.cases is None or self.cases.method(row) == self.against:
            return None
        for other in self.rows:
            if self.cases.method(other) == self.against and self.cases.group(other) == self.cases.group(row):
                return paired_difference(self.cases.values(row), self.cases.values(other))
        return None

    @property
    def _is_compared(self) -> bool:
        return self.cases is not None and any(self.cases.method(row) == self.against for row in self.rows)

    def _case_cells(self, measure: CaseMeasure[Row], row: Row) -> list[str]:
        one = CaseStatistics.of(list(measure.values(row).values()))
        cells = [format_number(value, measure.digits) for value in (one.mean, one.std, one.median)]
        if not self._is_compared:
            return cells
        difference = self.difference(row)
        if difference is None:
            return [*cells, "-", "-", "-"]
        mean, low, high = (
            f"{value:+.{measure.digits}f}" for value in (difference.mean, difference.low, difference.high)
        )
        return [*cells, mean, f"{low} to {high}", f"{difference.p_value:.2g}"]

    def _row_dict(self, row: Row) -> dict[str, Any]:
        content: dict[str, Any] = row.as_dict() if hasattr(row, "as_dict") else _fields(row)
        if self.cases is None:
            return content
        values = self.cases.values(row)
        statistics: dict[str, Any] = {"measure": self.cases.name, "values": dict(values)}
        statistics |= asdict(CaseStatistics.of(list(values.values())))
        difference = self.difference(row)
        if difference is not None:
            statistics |= {"against": self.against, "difference": asdict(difference)}
        return {**content, "cases": statistics}


def _fields(row: Any) -> dict[str, Any]:
    return asdict(row)
