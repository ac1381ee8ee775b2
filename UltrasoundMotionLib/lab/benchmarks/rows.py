"""Keeps what a long benchmark has measured: a row per case, as JSON lines, so that an interruption loses none.

A line is `{"run": {...settings...}, "row": {...fields...}}`. Several runs may write one file, also at the same time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from UltrasoundMotionLib.atomic_output import check_output_path
from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.settings import from_plain

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Row = TypeVar("Row", bound="DataclassInstance")


@dataclass(frozen=True)
class RowFile(Generic[Row]):
    """A file of rows and the run whose rows are read from it and appended to it.

    Attributes:
        path: of the file; it appears with the first row.
        row_class: a frozen dataclass whose fields are numbers, texts, None, or dicts and tuples of such (a dict comes
            back with its keys as text).
        run: the settings that the rows of this run share, as values that JSON has.
        case: the name of a row's case; a later row replaces an earlier one of the same case.
        one_run: refuse a file that holds rows of another run, rather than pass over them.
    """

    path: Path
    row_class: type[Row]
    run: Mapping[str, object]
    case: Callable[[Row], Hashable]
    one_run: bool = False

    def read(self) -> dict[Hashable, Row]:
        """Returns the rows of this run by their case; empty where there is no file. A line that was cut short counts as
        not written.

        Raises:
            InputError: the file cannot be read, a line is no such row, or (with `one_run`) is of another run.
        """
        if not self.path.exists():
            return {}
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path}: no readable rows ({error})") from error
        run = json.loads(json.dumps(dict(self.run)))
        rows: dict[Hashable, Row] = {}
        for number, line in enumerate(lines, start=1):
            try:
                held = json.loads(line)
            except ValueError:
                continue
            if not isinstance(held, dict) or not {"run", "row"} <= held.keys():
                raise InputError(f"{self.path}, line {number}: no row of a benchmark")
            if held["run"] == run:
                row = self._row(held["row"], number)
                rows[self.case(row)] = row
            elif self.one_run:
                settings = f"is of a run with other settings ({held['run']}) than asked for ({run})"
                raise InputError(f"{self.path}, line {number}: {settings}")
        return rows

    def append(self, row: Row) -> None:
        """Writes a row at once, on a line of its own, whatever the last writer left.

        Raises:
            OutputError: it cannot be written.
        """
        check_output_path(self.path)
        line = json.dumps({"run": dict(self.run), "row": asdict(row)}).encode() + b"\n"
        try:
            with self.path.open("ab+") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - 1))
                cut_short = file.read(1) not in (b"", b"\n")
                file.write(b"\n" + line if cut_short else line)
        except OSError as error:
            raise OutputError(f"{self.path}: cannot be written: {error.strerror or error}") from error

    def row(self, case: Hashable, measure: Callable[[], Row]) -> Row:
        """Returns the kept row of a case; measures it and appends it where there is none.

        Raises:
            InputError: see `read`.
            OutputError: see `append`.
        """
        kept = self.read()
        if case in kept:
            return kept[case]
        measured = measure()
        self.append(measured)
        return measured

    def _row(self, content: Any, number: int) -> Row:
        try:
            return from_plain(self.row_class, content)
        except (InputError, TypeError, ValueError) as error:
            raise InputError(f"{self.path}, line {number}: no row of this benchmark ({error})") from error
