"""Corrections of tracked points as a CSV table: one line for each point and frame that a user corrected."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.corrections.corrections import Correction
from UltrasoundMotionLib.tracking.files.table_lines import check_label, parse_number, parse_pixels, table_lines
from UltrasoundMotionLib.tracking.files.tracks_csv import LARGEST_FRAME

COLUMNS = ("frame", "label", "x", "y")


def read_corrections_csv(path: str | Path) -> tuple[Correction, ...]:
    """Reads `frame,label,x,y`: frames from 0, pixels; a line with neither x nor y marks the point as lost there.

    Raises:
        InputError: naming the file, the line and the value: a missing file, wrong columns, a value that is not a
            number, an empty label, a position of which one half is missing, a point given twice on a frame, no line.
    """
    path = Path(path)
    found: dict[tuple[int, str], Correction] = {}
    for line, values in table_lines(path, COLUMNS):
        label = check_label(path, f"line {line}", values["label"])
        frame = int(
            parse_number(
                path,
                line,
                "frame",
                values["frame"],
                allowed=lambda value: value.is_integer() and 0 <= value <= LARGEST_FRAME,
                expected="a whole number from 0",
            )
        )
        if (frame, label) in found:
            raise InputError(f"{path}: line {line}: {label} is corrected twice on frame {frame}")
        if bool(values["x"]) != bool(values["y"]):
            raise InputError(f"{path}: line {line}: x and y must both be given, or neither for a point that is lost")
        position = None
        if values["x"]:
            x, y = (parse_pixels(path, line, name, values[name]) for name in ("x", "y"))
            position = x, y
        found[frame, label] = Correction(frame, label, position)
    if not found:
        raise InputError(f"{path}: holds no correction, only the column names")
    return tuple(found.values())


def write_corrections_csv(path: str | Path, corrections: Iterable[Correction]) -> None:
    """Writes what `read_corrections_csv` reads, positions to 1e-6 pixels.

    Raises:
        OutputError: the file cannot be written; nothing is left under its name.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in corrections:
        x, y = ("", "") if one.position_px is None else (round(value, 6) for value in one.position_px)
        writer.writerow((one.frame, one.label, x, y))
    write_text_file(path, stream.getvalue())
