"""Reads points that were labelled by hand in DeepLabCut's table: a contour's points on some frames of a clip."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError

_HEADER = ("scorer", "bodyparts", "coords")


def read_hand_labels(path: Path, frame_count: int) -> tuple[tuple[str, ...], np.ndarray]:
    """Reads a DeepLabCut table (`CollectedData_*.csv`): three header lines (scorer, bodyparts, coords), then a line for
    each labelled frame, whose image (`.../img0012.png`) or number says which frame it is.

    Columns named likelihood are left out. An empty cell is a point that was not labelled there.

    Returns:
        The points' names, and positions (T, N, 2) in pixels, NaN where there is no label.

    Raises:
        InputError: a file that is missing or no such table; a frame outside of the clip, or given twice; a value that
            is no number; no label at all.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if any(cell.strip() for cell in line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a table of labels ({error})") from error
    heads = [line[0].strip().lower() if line else "" for line in lines[:3]]
    if tuple(heads) != _HEADER:
        found = ", ".join(heads) or "nothing"
        raise InputError(f"{path}: expected header lines that begin with {', '.join(_HEADER)}, found {found}")
    names, axes = lines[1], [cell.strip().lower() for cell in lines[2]]
    columns = {(names[index].strip(), axis): index for index, axis in enumerate(axes) if axis in ("x", "y")}
    labels = tuple(dict.fromkeys(name for name, _ in columns))
    missing = next((label for label in labels if {(label, "x"), (label, "y")} - columns.keys()), None)
    if not labels or missing is not None:
        raise InputError(f"{path}: {'no point' if missing is None else missing} has both an x and a y column")
    first_value = min(columns.values())
    positions = np.full((frame_count, len(labels), 2), np.nan)
    seen: set[int] = set()
    for number, line in enumerate(lines[3:], start=4):
        frame = _frame(path, number, line[:first_value])
        if not 0 <= frame < frame_count:
            raise InputError(f"{path}: line {number}: frame {frame} is outside the clip of {frame_count} frames")
        if frame in seen:
            raise InputError(f"{path}: line {number}: frame {frame} is given twice")
        seen.add(frame)
        for index, label in enumerate(labels):
            for axis in (0, 1):
                column = columns[label, "xy"[axis]]
                cell = line[column].strip() if column < len(line) else ""
                if cell and cell.lower() != "nan":
                    positions[frame, index, axis] = _number(path, number, label, cell)
    if not np.isfinite(positions).all(axis=2).any():
        raise InputError(f"{path}: holds no label")
    return labels, positions


def _frame(path: Path, number: int, cells: list[str]) -> int:
    """The frame's number: the last digits of the image's name, which DeepLabCut counts from 0."""
    text = next((cell.strip() for cell in reversed(cells) if cell.strip()), "")
    digits = re.findall(r"\d+", Path(text.replace("\\", "/")).stem)
    if not digits:
        raise InputError(f"{path}: line {number}: {text!r} names no frame")
    return int(digits[-1])


def _number(path: Path, number: int, label: str, cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = np.inf
    if not np.isfinite(value):
        raise InputError(f"{path}: line {number}: {label} has the value {cell!r}, expected a number")
    return value
