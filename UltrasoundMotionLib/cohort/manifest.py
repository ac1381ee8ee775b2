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
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from UltrasoundMotionLib import __version__
from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.cohort.verbs import DEFAULT_VERB, VERBS, missing_columns, option_words
from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.input_files import read_text_file

CASE, VERB = "case", "verb"
_SPACING = "spacing_mm"
_SMALLEST_MM, _LARGEST_MM = 0.005, 2.0
_LARGEST_RATIO = 10.0
"""Pixel sizes of ultrasound images: of small animals at 50 MHz to a whole liver on few pixels."""
PARQUET = (".parquet", ".pq")
_NOT_IN_FILE_NAMES = '/\\:*?"<>|'
_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10))}
"""Names that Windows keeps for devices, with any ending."""
_LONGEST_NAME = 120
_MOST_LINES_NAMED = 8


@dataclass(frozen=True)
class CohortCase:
    """One case, ready to run.

    Attributes:
        name: unique; the name of its folder.
        verb: of the command line.
        words: of the command line, without the verb and the outputs.
        files: that it reads.
        options: as the manifest gives them, with absolute paths.
        correction: options that a reviewer has put in the place of some of these; they are in `words` and `files`.
    """

    name: str
    verb: str
    words: tuple[str, ...]
    files: tuple[Path, ...]
    options: tuple[tuple[str, str], ...]
    correction: tuple[tuple[str, str], ...] = ()

    def request_digest(self) -> str:
        """Returns a text that changes when the request or a file that is read changes."""
        files = [(str(file), _stamp(file)) for file in self.files]
        return hashlib.sha256(json.dumps([self.verb, self.words, files]).encode()).hexdigest()

    def digest(self, request: str | None = None) -> str:
        """Returns a text that changes when the request, a file that is read or the version of the library changes.

        Args:
            request: `request_digest`, where it is known.
        """
        return hashlib.sha256(f"{__version__} {request or self.request_digest()}".encode()).hexdigest()

    def corrected(self, correction: Mapping[str, str]) -> CohortCase:
        """Returns the case with other values of some options; an empty one leaves the option at its default.

        Raises:
            InputError: an unknown option, a missing file, a wrong value.
        """
        given = {name: text for name, text in {**dict(self.options), **correction}.items() if text}
        other = make_case(self.name, self.verb, given, Path())
        return replace(other, options=self.options, correction=tuple(sorted(correction.items())))


def _stamp(path: Path) -> list[tuple[str, int, int]]:
    """Returns name, size and time of a file, or of all files directly in a folder; nothing where it is not there."""
    try:
        with os.scandir(path) as entries:
            files = sorted((entry for entry in entries if entry.is_file()), key=lambda entry: entry.name)
            return [(file.name, (found := file.stat()).st_size, found.st_mtime_ns) for file in files]
    except NotADirectoryError:
        found = path.stat()
        return [(path.name, found.st_size, found.st_mtime_ns)]
    except OSError:
        return []


def read_manifest(path: str | Path) -> tuple[CohortCase, ...]:
    """Reads and checks a manifest, all of it before any case runs.

    Raises:
        InputError: it cannot be read; an unknown column or verb; a case given twice or whose name cannot be a folder's;
            a missing option or file; a wrong value. The line is named, and the other lines with faults are counted.
        MissingPackageError: a Parquet file without pyarrow.
    """
    path = Path(path)
    cases: dict[str, CohortCase] = {}
    lines: dict[str, int] = {}
    faults: list[tuple[int, str]] = []
    for line, values in _rows(path):
        try:
            case = _parse_case(values, path.absolute().parent)
            folded = case.name.casefold()
            if folded in lines:
                raise InputError(_given_twice(case.name, cases[folded].name, lines[folded]))
        except InputError as error:
            faults.append((line, str(error)))
        else:
            cases[folded], lines[folded] = case, line
    if faults:
        raise InputError(f"{path}: {_listed(faults)}")
    if not cases:
        raise InputError(f"{path}: holds no case, only the column names")
    return tuple(cases.values())


def _given_twice(name: str, first: str, line: int) -> str:
    if name == first:
        return f"case {name} is given twice, first on line {line}"
    return f"cases {first} and {name} differ in capitals only"


def _listed(faults: Sequence[tuple[int, str]]) -> str:
    """Returns the first fault with its line, and which other lines have one."""
    (line, text), *others = faults
    if not others:
        return f"line {line}: {text}"
    named = ", ".join(str(one) for one, _ in others[:_MOST_LINES_NAMED])
    more = f"{named} ..." if len(others) > _MOST_LINES_NAMED else named
    return f"line {line}: {text} (and {len(others)} more lines have faults: {more})"


def _parse_case(values: dict[str, str], base: Path) -> CohortCase:
    name = values[CASE]
    if not _can_be_a_folder(name):
        raise InputError(f"case names a folder, so it cannot be {name[:40]!r}")
    verb = values.get(VERB) or DEFAULT_VERB
    if verb not in VERBS:
        raise InputError(f"verb must be one of {', '.join(VERBS)}, got {verb!r}")
    given = {column: text for column, text in values.items() if text and column not in (CASE, VERB)}
    return make_case(name, verb, given, base)


def _can_be_a_folder(name: str) -> bool:
    """Returns True for a name that Linux, macOS and Windows all take."""
    return (
        0 < len(name) <= _LONGEST_NAME
        and not name.startswith(".")
        and not name.endswith((".", " "))
        and not any(one in _NOT_IN_FILE_NAMES or one < " " for one in name)
        and name.split(".", maxsplit=1)[0].casefold() not in _DEVICES
    )


def make_case(name: str, verb: str, given: Mapping[str, str], base: Path) -> CohortCase:
    """Makes a case of the values of its columns.

    Args:
        given: texts of the manifest by column, none of them empty.
        base: folder that relative paths start from.

    Raises:
        InputError: an unknown or missing option, a missing file, a wrong value.
    """
    options = VERBS[verb].options()
    other = next((column for column in given if column not in options), None)
    if other is not None:
        raise InputError(f"{verb} has no option {other}; it has {', '.join(options)}")
    missing = missing_columns(VERBS[verb], given)
    if missing:
        raise InputError(f"{verb} needs {' and '.join(missing)}")
    words: list[str] = []
    files: list[Path] = []
    resolved = dict(given)
    for column, one in options.items():  # in the order of the options, which is that of positional arguments
        if column in given:
            more, read = option_words(one, given[column], base)
            words += more
            files += read
            if read:
                resolved[column] = ";".join(map(str, read))
    return CohortCase(name, verb, tuple(words), tuple(files), tuple(resolved.items()))


def manifest_notes(cases: Sequence[CohortCase]) -> list[str]:
    """Returns a line for each thing in a manifest that can be run but is probably not meant: pixel sizes that only some
    cases have, that no ultrasound image has, or of different units.
    """
    notes = []
    for verb in VERBS:
        chosen = [case for case in cases if case.verb == verb and _SPACING in VERBS[verb].options()]
        sizes = {case.name: size for case in chosen if (size := _spacing(case)) is not None}
        if not sizes:
            continue
        without = [case.name for case in chosen if case.name not in sizes]
        if without:
            notes.append(
                f"{_SPACING}: {len(without)} of {len(chosen)} cases of {verb} have none ({_some(without)}); what their"
                " files say holds, and where those say nothing, lengths are in pixels"
            )
        strange = [name for name, size in sizes.items() if not _SMALLEST_MM <= size[0] <= size[1] <= _LARGEST_MM]
        if strange:
            low, high = sizes[strange[0]]
            notes.append(
                f"{_SPACING}: {low:g} to {high:g} mm for a pixel of {_some(strange)} is not that of an ultrasound image"
                f" ({_SMALLEST_MM:g} to {_LARGEST_MM:g} mm); is it in another unit, or pixels per mm?"
            )
        least, most = (choose(sizes, key=lambda name: sizes[name][0]) for choose in (min, max))
        if not strange and sizes[most][0] > _LARGEST_RATIO * sizes[least][0]:
            notes.append(
                f"{_SPACING}: {sizes[least][0]:g} mm in {least} but {sizes[most][0]:g} mm in {most}; are both in mm?"
            )
    return notes


def _spacing(case: CohortCase) -> tuple[float, float] | None:
    """Returns the smaller and the larger side of a case's pixel in mm, where its line gives them."""
    text = dict(case.options).get(_SPACING)
    try:
        values = sorted(float(part) for part in text.split()) if text else []
    except ValueError:  # the case itself will say so
        return None
    return (values[0], values[-1]) if values else None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "")


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
