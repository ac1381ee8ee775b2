"""The manifest of a cohort: one line for each case, as CSV or Parquet.

Columns: `case`, a unique name; `verb`, track where it is empty; and the names of the verb's options (`input`, `points`,
`model`, `fixed`, `moving`, `moving_labels` ...). Paths are relative to the manifest. An empty cell leaves the option at
its default.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from UltrasoundMotionLib import __version__
from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.cohort.verbs import DEFAULT_VERB, VERBS, missing_columns, option_words
from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.input_files import read_text_file

CASE, VERB = "case", "verb"
PARQUET = (".parquet", ".pq")
_NOT_IN_FILE_NAMES = '/\\:*?"<>|'
_LONGEST_NAME = 120


@dataclass(frozen=True)
class CohortCase:
    """One case, ready to run.

    Attributes:
        name: unique; the name of its folder.
        verb: of the command line.
        words: of the command line, without the verb and the outputs.
        files: that it reads.
        options: as the manifest gives them.
    """

    name: str
    verb: str
    words: tuple[str, ...]
    files: tuple[Path, ...]
    options: tuple[tuple[str, str], ...]

    def digest(self) -> str:
        """Returns what changes when the request, the version of the library or a file that is read changes."""
        files = [(str(file), _stamp(file)) for file in self.files]
        content = json.dumps([__version__, self.verb, self.words, files])
        return hashlib.sha256(content.encode()).hexdigest()


def _stamp(path: Path) -> list[tuple[str, int, int]]:
    """Returns name, size and time of a file, or of all files directly in a folder."""
    files = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    return [(file.name, (found := file.stat()).st_size, found.st_mtime_ns) for file in files]


def read_manifest(path: str | Path) -> tuple[CohortCase, ...]:
    """Reads and checks a manifest, all of it before any case runs.

    Raises:
        InputError: it cannot be read; an unknown column or verb; a case given twice or whose name cannot be a folder's;
            a missing option or file; a wrong value. The line is named.
        MissingPackageError: a Parquet file without pyarrow.
    """
    path = Path(path)
    cases: dict[str, CohortCase] = {}
    lines: dict[str, int] = {}
    folded: dict[str, str] = {}
    for line, values in _rows(path):
        case = _parse_case(path, line, values)
        if case.name in cases:
            raise InputError(f"{path}: line {line}: case {case.name} is given twice, first on line {lines[case.name]}")
        twin = folded.setdefault(case.name.casefold(), case.name)
        if twin != case.name:
            raise InputError(f"{path}: line {line}: cases {twin} and {case.name} differ in capitals only")
        cases[case.name], lines[case.name] = case, line
    if not cases:
        raise InputError(f"{path}: holds no case, only the column names")
    return tuple(cases.values())


def _parse_case(path: Path, line: int, values: dict[str, str]) -> CohortCase:
    name = values[CASE]
    if not name or name.startswith(".") or len(name) > _LONGEST_NAME or any(one in name for one in _NOT_IN_FILE_NAMES):
        raise InputError(f"{path}: line {line}: case names a folder, so it cannot be {name[:40]!r}")
    verb = values.get(VERB) or DEFAULT_VERB
    if verb not in VERBS:
        raise InputError(f"{path}: line {line}: verb must be one of {', '.join(VERBS)}, got {verb!r}")
    given = {column: text for column, text in values.items() if text and column not in (CASE, VERB)}
    options = VERBS[verb].options()
    other = next((column for column in given if column not in options), None)
    if other is not None:
        raise InputError(f"{path}: line {line}: {verb} has no option {other}; it has {', '.join(options)}")
    missing = missing_columns(VERBS[verb], given)
    if missing:
        raise InputError(f"{path}: line {line}: {verb} needs {' and '.join(missing)}")
    words: list[str] = []
    files: list[Path] = []
    for column, one in options.items():  # in the order of the options, which is that of positional arguments
        if column in given:
            try:
                more, read = option_words(one, given[column], path.parent)
            except InputError as error:
                raise InputError(f"{path}: line {line}: {error}") from error
            words += more
            files += read
    return CohortCase(name, verb, tuple(words), tuple(files), tuple(given.items()))


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields (line from 1, text by column); Parquet's first row counts as line 2, as a CSV's does.

    Raises:
        InputError: see `read_manifest`.
    """
    if path.suffix.lower() in PARQUET:
        columns, rows = _read_parquet(path)
        lines = list(range(2, len(rows) + 2))
    else:
        try:
            reader = csv.reader(io.StringIO(read_text_file(path, encoding="utf-8-sig"), newline=""))
            columns = [name.strip() for name in next(reader, [])]
            rows, lines = [], []
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    rows.append([cell.strip() for cell in cells])
                    lines.append(reader.line_num)
        except csv.Error as error:
            raise InputError(f"{path}: is not a table of comma-separated values ({error})") from error
    if CASE not in columns:
        raise InputError(f"{path}: line 1: has no column {CASE}; it has {','.join(columns)[:80] or 'none'}")
    known = {CASE, VERB, *(name for verb in VERBS.values() for name in verb.options())}
    unknown = next((name for name in columns if name not in known), None)
    if unknown is not None:
        raise InputError(f"{path}: line 1: unknown column {unknown!r}; columns are {', '.join(sorted(known))}")
    if len(set(columns)) < len(columns):
        raise InputError(f"{path}: line 1: a column is there twice")
    for line, cells in zip(lines, rows, strict=True):
        if len(cells) != len(columns):
            raise InputError(f"{path}: line {line}: expected {len(columns)} values, found {len(cells)}")
        yield line, dict(zip(columns, cells, strict=True))


def _read_parquet(path: Path) -> tuple[list[str], list[list[str]]]:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise MissingPackageError(f"{path}: Parquet needs pyarrow: pip install pyarrow; or give a CSV") from error
    import pyarrow

    try:
        table = pyarrow.parquet.read_table(path)
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise InputError(f"{path}: is no readable Parquet file ({str(error).splitlines()[0][:120]})") from error
    columns = table.column_names
    rows = [[_text(row[name]) for name in columns] for row in table.to_pylist()]
    return columns, rows


def _text(value: object) -> str:
    """Returns a cell of a Parquet table as a CSV would have it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list):
        return " ".join(_text(one) for one in value)
    return str(value).strip()


def write_manifest(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Writes a manifest (.csv) of rows by column; columns in the order in which they first appear.

    Raises:
        OutputError: the file cannot be written.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text_file(path, stream.getvalue())
