"""The lines of a small CSV table with known columns, and the numbers in them: errors name the file, the line and the
value.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.input_files import check_regular_file

_NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""Characters that neither a table in UTF-8 nor a scene can hold."""
_FARTHEST_PX = 1e6
_LARGEST_SPARSE_TABLE = 10_000_000
_EMPTY_CELLS_PER_LINE = 1000


def table_lines(
    path: Path, columns: tuple[str, ...], optional: tuple[str, ...] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yields (line number from 1, stripped value by column) for each line after the column names; empty lines are
    passed over.

    Args:
        optional: columns that may be missing.

    Raises:
        InputError: the file cannot be read or is not text, its columns are not exactly `columns` and some of `optional`
            (in any order), a line is too short or too long.
    """
    expected = ",".join(columns)
    check_regular_file(path, may_be_empty=True)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            needed = sorted(name for name in header if name not in optional)
            if needed != sorted(columns) or len(set(header)) < len(header):
                if len(header) == 1 and ";" in header[0]:
                    raise InputError(f"{path}: line 1: values are separated by semicolons; use commas ({expected})")
                found = ",".join(header)[:80] or "nothing"
                raise InputError(f"{path}: line 1: expected the columns {expected}, found {found!r}")
            for cells in reader:
                values = [cell.strip() for cell in cells]
                if not any(values):
                    continue
                if len(values) != len(header):
                    raise InputError(
                        f"{path}: line {reader.line_num}: expected {len(header)} values "
                        f"({','.join(header)}), found {len(values)}"
                    )
                yield reader.line_num, dict(zip(header, values, strict=True))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a text table with the columns {expected}") from error


def parse_number(
    path: Path, line: int, column: str, text: str, *, allowed: Callable[[float], bool], expected: str
) -> float:
    """The number in one cell.

    Raises:
        InputError: the text is not a number or `allowed` refuses it; `expected` says in words what it should have been.
    """
    try:
        value = None if "_" in text else float(text)
    except ValueError:
        value = None
    if value is None or not allowed(value):
        raise InputError(f"{path}: line {line}: {column} must be {expected}, got {text!r}")
    return value


def parse_pixels(path: Path, line: int, column: str, text: str) -> float:
    """The coordinate in one cell, in pixels.

    Raises:
        InputError: as `parse_number`; a million pixels or more from the origin, where no image reaches.
    """
    return parse_number(
        path, line, column, text, allowed=lambda value: abs(value) < _FARTHEST_PX, expected="a number of pixels"
    )


def check_label(path: Path, where: str, label: str) -> str:
    """Returns the label of a point.

    Raises:
        InputError: empty, or with characters that no file of results can hold.
    """
    if not label:
        raise InputError(f"{path}: {where}: the label is empty")
    if _NO_TEXT.search(label):
        raise InputError(f"{path}: {where}: the label {label[:40]!a} holds control characters; rename the point")
    return label


def check_table_size(path: Path, frames: int, labels: int, lines: int) -> None:
    """Checks, before it is allocated, that a table over all frames is not much larger than what the file holds.

    Raises:
        InputError: it is: a frame number is a mistake, such as a time.
    """
    if frames * labels > max(_LARGEST_SPARSE_TABLE, _EMPTY_CELLS_PER_LINE * lines):
        raise InputError(
            f"{path}: frame {frames - 1} is far beyond its {lines} lines; is it a frame number, counted one by one?"
        )
