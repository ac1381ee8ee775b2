"""Fields of text headers: numbers, and per-frame fields of PLUS (Seq_Frame0000_Name) and Slicer (axis 3 item 0000)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from UltrasoundMotionLib.errors import InputError

_PLUS = re.compile(r"Seq_Frame(\d+)_(.+)")
_SLICER = re.compile(r"axis \d+ item (\d+) (.+)")
TIMESTAMP = "Timestamp"
_IMAGE_STATUS = "ImageStatus"
_Number = TypeVar("_Number", int, float)


def frame_fields(header: Mapping[str, str], frames: int) -> dict[str, tuple[str, ...]]:
    """Returns the per-frame fields of a header, each (T,) strings, empty for a frame without the field.

    Entries of frames that do not exist are ignored.
    """
    fields: dict[str, list[str]] = {}
    for key, value in header.items():
        match = _PLUS.fullmatch(key) or _SLICER.fullmatch(key)
        if match and int(match[1]) < frames:
            fields.setdefault(match[2], [""] * frames)[int(match[1])] = value
    return {name: tuple(values) for name, values in fields.items()}


def times_from_timestamps(fields: Mapping[str, tuple[str, ...]]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Returns frame times in seconds from the first frame, and notes, from PLUS' Timestamp fields.

    The times are None if there are no such fields or they do not increase.
    """
    if TIMESTAMP not in fields:
        return None, ()
    try:
        stamps = np.array([float(value) for value in fields[TIMESTAMP]])
    except ValueError:
        return None, ("frame rate unknown: some frames have no readable Timestamp",)
    return increasing_times(stamps - stamps[0], "the Timestamp fields")


def increasing_times(times_s: np.ndarray, source: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Returns the times if they are finite and strictly increasing.

    Otherwise None and a note that names `source` and the first wrong frame.
    """
    steps = np.diff(times_s)
    wrong = np.flatnonzero(~(steps > 0) | ~np.isfinite(steps))
    if wrong.size:
        frame = int(wrong[0]) + 1
        times = f"the time {times_s[frame]:g} s after {times_s[frame - 1]:g} s"
        return None, (f"frame rate unknown: {source} give frame {frame} {times}",)
    return times_s, ()


def plus_notes(header: Mapping[str, str], fields: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Returns notes on a PLUS file: its image orientation, and the number of frames marked as not valid."""
    notes = []
    for key, value in header.items():
        if key.replace(" ", "").lower() == "ultrasoundimageorientation":
            notes.append(f"ultrasound image orientation {value} as stored by PLUS; pixels are not flipped")
    invalid = sum(value not in ("OK", "") for value in fields.get(_IMAGE_STATUS, ()))
    if invalid:
        notes.append(f"{invalid} frames are marked as not valid by {_IMAGE_STATUS}")
    return tuple(notes)


def header_numbers(
    path: Path,
    name: str,
    text: str,
    kind: type[_Number],
    count: int,
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
) -> list[_Number]:
    """Parses `count` finite numbers separated by blanks.

    Raises:
        InputError: other text, another count, or a number out of range, naming the header's field.
    """
    words = text.split()
    try:
        values = [header_number(path, name, word, kind) for word in words]
    except InputError:
        raise InputError(f"{path}: {name} is {text[:80]!r}, expected numbers") from None
    if len(words) != count:
        raise InputError(f"{path}: {name} has {len(words)} values, expected {count}")
    return [header_number(path, name, value, kind, minimum=minimum, maximum=maximum) for value in values]


def header_number(
    path: Path,
    name: str,
    value: Any,
    kind: type[_Number],
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
) -> _Number:
    """Returns a header's value as a finite number in a range.

    Raises:
        InputError: not a number, not finite, a fraction where a whole number is needed, or out of range.
    """
    shown = repr(str(value)[:80]) if isinstance(value, str) else f"{value}"
    words = "a whole number" if kind is int else "a number"
    try:
        if isinstance(value, str) and "_" in value:  # Python's own notation
            raise ValueError
        number = float(value)
        if not math.isfinite(number) or (kind is int and not number.is_integer()):
            raise ValueError
        exact = kind(value)
    except (ValueError, OverflowError, TypeError):
        raise InputError(f"{path}: {name} is {shown}, expected {words}") from None
    if not minimum <= number <= maximum:
        at_most = "" if maximum == math.inf else f" to {maximum:g}"
        at_least = f"up to {maximum:g}" if minimum == -math.inf else f"from {minimum:g}{at_most}"
        raise InputError(f"{path}: {name} is {shown}, expected {words} {at_least}")
    return exact
