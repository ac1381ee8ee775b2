"""DeepLabCut's tables: .csv with three header rows (scorer, bodyparts, coords), or .h5 as pandas writes it.

Format: DeepLabCut's user guide, `docs/standardDeepLabCut_UserGuide.md`. Rows are frames of a video, or pictures of
`labeled-data/VIDEO/imgNNN.png`, whose number is the frame in the video. Points are clicked on pictures as matplotlib
and napari show them: the centre of the first pixel is (0, 0). Files of several animals have a fourth row.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output, write_text_file
from UltrasoundMotionLib.errors import InputError, MissingPackageError
from UltrasoundMotionLib.exchange.labels.frame_numbers import numbers_in_clip, numbers_in_names
from UltrasoundMotionLib.exchange.labels.labels import SKELETON, ClipReference, LabelCollector, Labels
from UltrasoundMotionLib.exchange.labels.registry import LabelFile, LabelFormat, label_format
from UltrasoundMotionLib.input_files import read_text_file

SEEN_FROM = 0.6
"""DeepLabCut's default p-cutoff: points of a lower likelihood are not drawn."""
KEY = "df_with_missing"
_ROWS = ("scorer", "individuals", "bodyparts", "coords")
_COORDINATES = ("x", "y", "likelihood")


@dataclass(frozen=True)
class _Table:
    """Columns as (scorer, individual, bodypart, coordinate), the rows' names or numbers, and values (R, C)."""

    columns: list[tuple[str, str, str, str]]
    rows: list[tuple[str, ...]]
    values: np.ndarray


@label_format
class DeepLabCut(LabelFormat):
    """Tables of DeepLabCut."""

    name = "deeplabcut"
    summary = "DeepLabCut's table (.csv, or .h5 with the extra deeplabcut)"
    origin = "pixels, the centre of the first pixel is (0, 0)"
    endings = (".h5",)
    keeps = frozenset({"confidence", "names", "tracker"})
    rank = 25

    def recognises(self, file: LabelFile) -> bool:
        """Returns True for a .csv that begins with `scorer`, and for .h5."""
        is_csv = file.name.endswith(".csv") and file.first_line.split(",")[0] == "scorer"
        return is_csv or file.name.endswith((".h5", ".hdf5"))

    def read(self, path: Path, clip: ClipReference | None, *, frame: int | None = None) -> Labels:
        """Reads positions; the likelihood is the confidence, and points below 0.6 are read as not visible."""
        table = _read_h5(path) if path.suffix.lower() in (".h5", ".hdf5") else _read_csv(path)
        scorers = sorted({column[0] for column in table.columns})
        if len(scorers) > 1:
            raise InputError(f"{path}: holds the points of {len(scorers)} scorers ({', '.join(scorers)}), expected one")
        frames, notes = _frames(path, table.rows, clip)
        columns = {column: place for place, column in enumerate(table.columns)}
        points = list(dict.fromkeys(column[:3] for column in table.columns))
        individuals = {individual for _, individual, _ in points}
        collector, doubtful = LabelCollector(path), 0
        for point in points:
            missing = [name for name in ("x", "y") if (*point, name) not in columns]
            if missing:
                raise InputError(f"{path}: bodypart {point[2]} has no column {missing[0]}")
            label = point[2] if len(individuals) == 1 else f"{point[1]}/{point[2]}"
            collector.declare("header", label)
            if len(individuals) > 1:
                collector.group(point[1], [label], kind=SKELETON)
            x, y = (table.values[:, columns[(*point, name)]] for name in ("x", "y"))
            likelihood = table.values[:, columns[(*point, "likelihood")]] if (*point, "likelihood") in columns else None
            for row in np.flatnonzero(np.isfinite(x) & np.isfinite(y)).tolist():
                sure = 1.0 if likelihood is None else float(likelihood[row])
                where = f"row {'/'.join(table.rows[row])}"
                seen = sure >= SEEN_FROM
                doubtful += not seen
                collector.add(where, frames[row], label, (x[row], y[row]), confidence=sure, visible=seen)
        if doubtful:
            notes.append(f"{path}: {doubtful} positions of a likelihood below {SEEN_FROM:g} are read as not visible")
        return collector.finish(clip, frame_count=max(frames, default=-1) + 1, model=scorers[0], notes=notes)

    def write(self, path: Path, labels: Labels, clip: ClipReference | None) -> list[str]:
        """Writes a row for each frame, a position that is missing as an empty cell (NaN in .h5)."""
        tracks = labels.tracks
        scorer = tracks.model or "annotation"
        heads = [(scorer, label, name) for label in tracks.labels for name in _COORDINATES]
        confidence = np.where(labels.labelled, tracks.confidence, np.nan)
        values = np.concatenate([tracks.positions_px, confidence[:, :, None]], axis=2).reshape(len(confidence), -1)
        if path.suffix.lower() in (".h5", ".hdf5"):
            _write_h5(path, heads, values)
            return []
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\n")
        for place, name in enumerate(("scorer", "bodyparts", "coords")):
            writer.writerow([name, *(head[place] for head in heads)])
        for number, row in enumerate(values):
            writer.writerow([number, *("" if np.isnan(one) else round(float(one), 6) for one in row)])
        write_text_file(path, stream.getvalue())
        return []


def _read_csv(path: Path) -> _Table:
    rows = list(csv.reader(read_text_file(path, encoding="utf-8-sig").splitlines()))
    heads: dict[str, list[str]] = {}
    for row in rows:
        if not row or row[0] not in _ROWS or row[0] in heads:
            break
        heads[row[0]] = row
    if not {"scorer", "bodyparts", "coords"} <= set(heads):
        raise InputError(f"{path}: expected header rows scorer, bodyparts and coords, as DeepLabCut writes them")
    width = len(heads["coords"])
    first = next((place for place, one in enumerate(heads["coords"]) if one in _COORDINATES), width)
    empty = [""] * width
    individuals = heads.get("individuals", empty)
    if any(len(row) != width for row in heads.values()):
        raise InputError(f"{path}: its header rows have different lengths")
    levels = (heads["scorer"], individuals, heads["bodyparts"], heads["coords"])
    columns = list(zip(*(row[first:] for row in levels), strict=True))
    names, values = [], []
    for number, row in enumerate(rows[len(heads) :], start=len(heads) + 1):
        if not any(row):
            continue
        if len(row) != width:
            raise InputError(f"{path}: line {number}: has {len(row)} values, expected {width}")
        try:
            values.append([float(cell.replace("_", "?")) if cell.strip() else np.nan for cell in row[first:]])
        except ValueError as error:
            raise InputError(f"{path}: line {number}: holds a value that is not a number") from error
        names.append(tuple(row[:first]))
    return _Table(columns, names, np.array(values, dtype=np.float64).reshape(len(names), len(columns)))


def _pandas() -> Any:
    try:
        import pandas
        import tables  # noqa: F401  pandas reads and writes .h5 by it
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            f".h5 of DeepLabCut needs {error.name}: pip install 'ultrasound-motion[deeplabcut]', or use its .csv"
        ) from error
    return pandas


def _read_h5(path: Path) -> _Table:
    pandas = _pandas()
    try:
        frame = pandas.read_hdf(path)
    except (ValueError, OSError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path}: is no table of DeepLabCut: {reason}") from error
    if not isinstance(frame, pandas.DataFrame) or list(frame.columns.names) not in (
        ["scorer", "bodyparts", "coords"],
        list(_ROWS),
    ):
        raise InputError(f"{path}: is no table of DeepLabCut: its columns are not scorer, bodyparts, coords")
    heads = [tuple(map(str, column)) for column in frame.columns]
    columns = [(one[0], one[1] if len(one) == 4 else "", one[-2], one[-1]) for one in heads]
    rows = [tuple(map(str, row)) if isinstance(row, tuple) else (str(row),) for row in frame.index]
    return _Table(columns, rows, frame.to_numpy(dtype=np.float64))


def _write_h5(path: Path, heads: list[tuple[str, str, str]], values: np.ndarray) -> None:
    pandas = _pandas()
    columns = pandas.MultiIndex.from_tuples(heads, names=["scorer", "bodyparts", "coords"])
    table = pandas.DataFrame(values, columns=columns)

    def check(written: Path) -> None:
        if not np.array_equal(pandas.read_hdf(written).to_numpy(), values, equal_nan=True):
            raise InputError("other values than were written")

    with atomic_output(path, read_back=check) as temporary:
        table.to_hdf(temporary, key=KEY, format="table", mode="w")


def _frames(path: Path, rows: list[tuple[str, ...]], clip: ClipReference | None) -> tuple[list[int], list[str]]:
    """Returns the frame of each row, and notes."""
    if all(len(row) == 1 and row[0].isdecimal() for row in rows):
        return [int(row[0]) for row in rows], []
    names = ["/".join(part for part in row if part) for row in rows]
    folders = {name.rsplit("/", 1)[0] for name in names}
    if len(folders) > 1:
        listed = ", ".join(sorted(folders)[:3])
        raise InputError(f"{path}: labels pictures of {len(folders)} videos ({listed}); split it")
    if clip is not None and clip.frame_names:
        return numbers_in_clip(path, names, clip), []
    numbers, note = numbers_in_names(path, names)
    return numbers, [note]
