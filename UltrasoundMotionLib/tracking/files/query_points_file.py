"""The points to follow, from a CSV table in pixels or from a 3D Slicer markups file in mm."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.arguments import as_path
from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.input_files import read_json_file
from UltrasoundMotionLib.tracking.files.table_lines import check_label, parse_number, table_lines

COLUMNS = ("label", "x", "y")
FARTHEST_FROM_PLANE_MM = (
    5.0  # farther than this, the markups were placed on another image, or on this one moved elsewhere
)


@dataclass(frozen=True)
class QueryPoints:
    """Named points on one frame.

    Attributes:
        labels: (N,) unique names.
        points_px: (N, 2) float64, (x, y) in pixels, origin at the centre of the first pixel.
        notes: what a user should know of how they were read, one line each.
    """

    labels: tuple[str, ...]
    points_px: np.ndarray
    notes: tuple[str, ...] = ()


def read_query_points(path: str | Path, sequence: ImageSequence) -> QueryPoints:
    """Reads a CSV with the columns `label,x,y` in pixels, or Slicer markups (`.mrk.json`, LPS or RAS, mm).

    Markups are put into pixels by the sequence's own position, orientation and spacing, along the normal of the image
    plane. Where the spacing is unknown one mm counts as one pixel, which is how Slicer shows an image without spacing,
    and a note says so. Control points that were never placed are left out with a note.

    Raises:
        InputError: naming the file, the line (or the point) and the value: a missing or unreadable file, wrong columns,
            a value that is not a number, an empty or repeated label, a point outside the image or more than 5 mm from
            its plane, no point at all.
    """
    path = as_path(path)
    if path.name.lower().endswith(".csv"):
        places, notes = list(read_points_csv(path)), tuple[str, ...]()
    elif path.name.lower().endswith(".json"):
        places, notes = read_markups(path, sequence)
    else:
        raise InputError(f"{path}: expected points as .csv (label,x,y in pixels) or .mrk.json (3D Slicer markups)")
    if not places:
        raise InputError(f"{path}: holds no point")
    width, height = sequence.frame_size
    first_use: dict[str, str] = {}
    for where, label, (x, y) in places:
        check_label(path, where, label)
        if label in first_use:
            raise InputError(f"{path}: {where}: the label {label} is already used on {first_use[label]}")
        first_use[label] = where
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            raise InputError(
                f"{path}: {where}: point {label} at ({x:g}, {y:g}) lies outside the image of {width} x {height} pixels"
            )
    return QueryPoints(
        labels=tuple(first_use), points_px=np.array([point for _, _, point in places], dtype=np.float64), notes=notes
    )


def write_query_points(path: str | Path, labels: Sequence[str], points_px: np.ndarray) -> None:
    """Writes points (N, 2) as the CSV that `read_query_points` reads, to 1e-6 pixels.

    Raises:
        OutputError: the file cannot be written; nothing is left under its name.
    """
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for label, (x, y) in zip(labels, np.asarray(points_px, dtype=np.float64).tolist(), strict=True):
        writer.writerow((label, round(x, 6), round(y, 6)))
    write_text_file(path, stream.getvalue())


def read_points_csv(path: Path) -> Iterator[tuple[str, str, tuple[float, float]]]:
    """Yields (place in the file, label, (x, y) in pixels) for each line of `label,x,y`.

    Raises:
        InputError: wrong columns, or a value that is not a number.
    """
    for line, values in table_lines(path, COLUMNS):
        x, y = (
            parse_number(path, line, column, values[column], allowed=np.isfinite, expected="a number of pixels")
            for column in ("x", "y")
        )
        yield f"line {line}", values["label"], (x, y)


@dataclass(frozen=True, eq=False)
class ControlPoint:
    """A control point of Slicer markups: its place in the file, its label, and (3,) LPS mm; None: not placed."""

    where: str
    label: str
    position_lps_mm: np.ndarray | None


def control_points(path: Path) -> list[ControlPoint]:
    """Reads the control points of all markups in a file.

    Raises:
        InputError: no markups file, or a position that is not three numbers.
    """
    found: list[ControlPoint] = []
    for markup in _load_markups(path):
        to_lps = _sign_to_lps(path, markup)
        listed = markup.get("controlPoints")
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise InputError(f"{path}: has no controlPoints, so it is not a point list or curve of 3D Slicer")
        for number, one in enumerate(listed, start=len(found) + 1):
            label, where = str(one.get("label") or f"P{number}").strip(), f"control point {number}"
            placed = one.get("positionStatus", "defined") == "defined"
            position = _parse_position(path, where, one.get("position")) * to_lps if placed else None
            found.append(ControlPoint(where, label, position))
    return found


def read_markups(
    path: Path, sequence: ImageSequence
) -> tuple[list[tuple[str, str, tuple[float, float]]], tuple[str, ...]]:
    """Returns (place in the file, label, (x, y) in pixels of the sequence) for each control point, and notes.

    Raises:
        InputError: no markups, a position that is not three numbers, or one far from the image's plane.
    """
    places: list[tuple[str, str, tuple[float, float]]] = []
    unplaced: list[str] = []
    for point in control_points(path):
        position = point.position_lps_mm
        if position is None:
            unplaced.append(point.label)
            continue
        distance = float((position - np.asarray(sequence.origin_mm)) @ sequence.direction[:, 2])
        if abs(distance) > FARTHEST_FROM_PLANE_MM:
            raise InputError(
                f"{path}: {point.where}: point {point.label} lies {abs(distance):.1f} mm from the image "
                "plane; was it placed on this image?"
            )
        x, y = sequence.lps_mm_to_pixels(position).tolist()
        places.append((point.where, point.label, (x, y)))
    notes = []
    if unplaced:
        notes.append(f"{path}: left out {', '.join(unplaced)}: not placed")
    if sequence.spacing_mm is None:
        notes.append(f"{path}: the image's pixel size is unknown, so one mm of the markups counts as one pixel")
    return places, tuple(notes)


def _load_markups(path: Path) -> list[dict]:
    content = read_json_file(path)
    markups = content.get("markups") if isinstance(content, dict) else None
    if not isinstance(markups, list) or not all(isinstance(markup, dict) for markup in markups):
        raise InputError(f"{path}: is JSON but not a markups file of 3D Slicer: it has no list 'markups'")
    return markups


def _sign_to_lps(path: Path, markup: dict) -> np.ndarray:
    system = markup.get("coordinateSystem", "LPS")
    units = markup.get("coordinateUnits", "mm")
    if system not in ("LPS", "RAS"):
        raise InputError(f"{path}: coordinateSystem must be LPS or RAS, got {system!r}")
    if units not in ("mm", ["mm", "mm", "mm"]):
        raise InputError(f"{path}: coordinateUnits must be mm, got {units!r}")
    return np.array([1.0, 1.0, 1.0] if system == "LPS" else [-1.0, -1.0, 1.0])


def _parse_position(path: Path, where: str, position: object) -> np.ndarray:
    truths = isinstance(position, list) and any(isinstance(number, bool) for number in position)
    try:
        numbers = np.empty(0) if truths else np.array(position, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (3,) or not np.all(np.isfinite(numbers)):
        raise InputError(f"{path}: {where}: position must be three numbers in mm, got {position!r}")
    return numbers
