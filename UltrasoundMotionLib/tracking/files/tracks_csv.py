"""Tracked points as a CSV table: one line for each point on each frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.arguments import as_path, of_kind
from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.files.table_lines import (
    check_label,
    check_table_size,
    parse_number,
    parse_pixels,
    table_lines,
)
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

COLUMNS = ("frame", "time_s", "label", "x", "y", "confidence", "visible")
TRACKER_COLUMN = "tracker"
LARGEST_FRAME = 10_000_000  # a frame number beyond this is a mistake, and would only exhaust the memory


def write_tracks_csv(path: str | Path, tracks: PointTracks) -> None:
    """Writes `frame,time_s,label,x,y,confidence,visible,tracker`, frame by frame and in the order of the labels.

    `x` and `y` are pixels (origin at the centre of the first pixel) to 1e-6; `frame` counts from 0; `time_s` is in
    seconds to 1e-9 and empty where the times are unknown; `visible` is 1 or 0; `tracker` is the same on every line, and
    the column is left out where the tracker is unknown. A position that was never reached has no
    line. A confidence below 1 never rounds up to 1, which marks the query frame.

    Raises:
        OutputError: the file cannot be written; nothing is left under its name.
    """
    of_kind(tracks, PointTracks, "tracks")
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    tracker = (tracks.model,) if tracks.model else ()
    writer.writerow((*COLUMNS, TRACKER_COLUMN) if tracker else COLUMNS)
    for frame, positions in enumerate(tracks.positions_px):
        time = "" if tracks.times_s is None else float(tracks.times_s[frame])
        for label, (x, y), confidence, visible in zip(
            tracks.labels,
            positions.tolist(),
            tracks.confidence[frame].tolist(),
            tracks.visible[frame].tolist(),
            strict=True,
        ):
            if np.isfinite(x) and np.isfinite(y):
                writer.writerow(
                    (*table_row(frame, time, label, (x, y), confidence=confidence, visible=visible), *tracker)
                )
    write_text_file(path, stream.getvalue())


def table_row(
    frame: int, time_s: float | str, label: str, place: Sequence[float], *, confidence: float, visible: bool
) -> tuple[object, ...]:
    """Returns the cells of one point on one frame, rounded as `write_tracks_csv` says."""
    shown = 1.0 if confidence == 1.0 else min(round(confidence, 6), 0.999999)
    time = time_s if isinstance(time_s, str) else round(time_s, 9)
    return frame, time, label, round(place[0], 6), round(place[1], 6), shown, int(visible)


@dataclass(frozen=True)
class _Row:
    frame: int
    time_s: float | None
    label: str
    x: float
    y: float
    confidence: float
    visible: bool
    tracker: str = ""


def read_tracks_csv(path: str | Path) -> PointTracks:
    """Reads what `write_tracks_csv` wrote, or another program's table with the same columns.

    The table does not hold everything: the spacing comes back unknown, the tracker where its column is missing. The
    query frame is the first on which every point has confidence 1 and is visible; failing that, the first frame on
    which every point has a position. There are as many frames as the largest frame number says; a position without a
    line is NaN, not visible, with confidence 0, and the time of a frame without a line is NaN.

    Raises:
        InputError: the file is missing or empty, its columns differ, or a line holds a wrong value (the line and the
            value are named).
    """
    path = as_path(path)
    rows: dict[tuple[int, str], _Row] = {}
    for line, values in table_lines(path, COLUMNS, (TRACKER_COLUMN,)):
        row = _parse_row(path, line, values)
        if (row.frame, row.label) in rows:
            raise InputError(f"{path}: line {line}: point {row.label} is given twice on frame {row.frame}")
        rows[row.frame, row.label] = row
    if not rows:
        raise InputError(f"{path}: holds no tracked point, only the column names")
    labels = tuple(dict.fromkeys(row.label for row in rows.values()))
    column_of = {label: column for column, label in enumerate(labels)}
    frame_count = max(row.frame for row in rows.values()) + 1
    check_table_size(path, frame_count, len(labels), len(rows))
    positions = np.full((frame_count, len(labels), 2), np.nan)
    confidence = np.zeros((frame_count, len(labels)))
    visible = np.zeros((frame_count, len(labels)), dtype=bool)
    for row in rows.values():
        where = row.frame, column_of[row.label]
        positions[where], confidence[where], visible[where] = (row.x, row.y), row.confidence, row.visible
    return PointTracks(
        positions_px=positions,
        confidence=confidence,
        visible=visible,
        labels=labels,
        query_frame=find_query_frame(positions, confidence, visible),
        times_s=_collect_times(path, list(rows.values()), frame_count),
        model=_find_tracker(path, list(rows.values())),
    )


def _parse_row(path: Path, line: int, values: dict[str, str]) -> _Row:
    def number(column: str, allowed: Callable[[float], bool], expected: str) -> float:
        return parse_number(path, line, column, values[column], allowed=allowed, expected=expected)

    label = check_label(path, f"line {line}", values["label"])
    if values["visible"].lower() not in ("0", "1", "true", "false"):
        raise InputError(f"{path}: line {line}: visible must be 1 or 0, got '{values['visible']}'")
    return _Row(
        frame=int(
            number("frame", lambda value: value.is_integer() and 0 <= value <= LARGEST_FRAME, "a whole number from 0")
        ),
        time_s=number("time_s", np.isfinite, "a number of seconds, or nothing") if values["time_s"] else None,
        label=label,
        x=parse_pixels(path, line, "x", values["x"]),
        y=parse_pixels(path, line, "y", values["y"]),
        confidence=number("confidence", lambda value: 0 <= value <= 1, "a number from 0 to 1"),
        visible=values["visible"].lower() in ("1", "true"),
        tracker=values.get(TRACKER_COLUMN, ""),
    )


def _find_tracker(path: Path, rows: list[_Row]) -> str:
    names = list(dict.fromkeys(row.tracker for row in rows))
    if len(names) > 1:
        raise InputError(f"{path}: tracker must be the same on every line, got {names[0]!r} and {names[1]!r}")
    return names[0]


def _collect_times(path: Path, rows: list[_Row], frame_count: int) -> np.ndarray | None:
    given = {row.frame: row.time_s for row in rows}
    for row in rows:
        if row.time_s != given[row.frame]:
            raise InputError(f"{path}: frame {row.frame} has two different times, {row.time_s} and {given[row.frame]}")
    known = [frame for frame, time in given.items() if time is not None]
    if not known:
        return None
    if len(known) < len(given):
        raise InputError(f"{path}: frame {min(set(given) - set(known))} has no time_s while others have one")
    times = np.full(frame_count, np.nan)
    times[known] = [given[frame] for frame in known]
    if np.any(np.diff(times[np.isfinite(times)]) <= 0):
        raise InputError(f"{path}: time_s does not increase from frame to frame")
    return times


def find_query_frame(positions: np.ndarray, confidence: np.ndarray, visible: np.ndarray) -> int:
    """Returns the first frame on which every point has confidence 1 and is visible; failing that, the first with every
    position, or else with any.
    """
    certain = np.all((confidence == 1) & visible, axis=1)
    complete = np.all(np.isfinite(positions), axis=(1, 2))
    for candidates in (certain, complete):
        if candidates.any():
            return int(np.argmax(candidates))
    return int(np.argmax(np.isfinite(positions).any(axis=(1, 2))))
