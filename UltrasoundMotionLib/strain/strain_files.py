"""Strain files: the curves as a CSV table, the whole result with units and definitions as JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np

from UltrasoundMotionLib.arguments import as_path
from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.input_files import check_regular_file, read_json_file
from UltrasoundMotionLib.json_output import write_json
from UltrasoundMotionLib.strain.strain_definitions import DEFINITIONS, SOURCE
from UltrasoundMotionLib.strain.strain_result import StrainResult
from UltrasoundMotionLib.tracking.files.table_lines import parse_number

_JSON_FORMAT = "ultrasound-motion strain 1"
_FIRST_COLUMNS = ("frame", "time (s)", "event")
_RATE_COLUMN = "global strain rate (1/s)"
_SMOOTHED = " smoothed"


@dataclass(frozen=True)
class StrainTable:
    """The content of a strain CSV.

    Attributes:
        segment_names: S names in the order of the contour.
        times_s: (T,) or None when unknown.
        global_percent, global_smoothed_percent: (T,); NaN where the cell is empty. The smoothed ones are None when the
            table has none.
        segmental_percent, segmental_smoothed_percent: (T, S).
        strain_rate_per_s: (T,) or None.
        end_diastole_frames, end_systole_frames: the marked frames.
    """

    segment_names: tuple[str, ...]
    times_s: np.ndarray | None
    global_percent: np.ndarray
    segmental_percent: np.ndarray
    strain_rate_per_s: np.ndarray | None
    global_smoothed_percent: np.ndarray | None
    segmental_smoothed_percent: np.ndarray | None
    end_diastole_frames: tuple[int, ...]
    end_systole_frames: tuple[int, ...]


def strain_columns(result: StrainResult) -> dict[str, np.ndarray]:
    """Returns every curve (T,) by its column's name with unit: global, segments, global strain rate, smoothed curves.

    The columns frame, time and event are not among them. Segments come in the order of the contour, base on the image's
    left first.
    """
    names = ("global", *result.segment_names)
    columns = {
        f"{name} (%)": curve
        for name, curve in zip(names, (result.global_percent, *result.segmental_percent.T), strict=True)
    }
    if result.strain_rate_per_s is not None:
        columns[_RATE_COLUMN] = result.strain_rate_per_s
    if result.smoothed is not None:
        smooth = (result.smoothed.global_percent, *result.smoothed.segmental_percent.T)
        columns |= {f"{name}{_SMOOTHED} (%)": curve for name, curve in zip(names, smooth, strict=True)}
    return columns


def write_strain_csv(path: str | Path, result: StrainResult) -> None:
    """Writes one line per frame: number from 0, time, event (ED, ES or nothing), the columns of `strain_columns`.

    Strain is Lagrangian, in percent to 1e-6, relative to the measured cycle's end-diastole; an empty cell is unknown (a
    rejected segment, a frame without tracks).

    Raises:
        OutputError: the file cannot be written; nothing is left under its name.
    """
    columns = strain_columns(result)
    events = dict.fromkeys(result.events.end_diastole_frames, "ED") | dict.fromkeys(
        result.events.end_systole_frames, "ES"
    )
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow((*_FIRST_COLUMNS, *columns))
    for frame in range(len(result.global_percent)):
        time = "" if result.times_s is None else _cell(result.times_s[frame], 9)
        cells = (_cell(curve[frame], 6) for curve in columns.values())
        writer.writerow((frame, time, events.get(frame, ""), *cells))
    write_text_file(path, stream.getvalue())


def read_strain_csv(path: str | Path) -> StrainTable:
    """Reads a table that `write_strain_csv` wrote.

    Raises:
        InputError: the file is missing, empty or not such a table; a line holds a wrong value (the message names line
            and value).
    """
    path = as_path(path)
    header, lines = _read_lines(path)
    values = np.full((len(lines), len(header) - len(_FIRST_COLUMNS)), np.nan)
    times = np.full(len(lines), np.nan)
    events: dict[str, list[int]] = {"ED": [], "ES": [], "": []}
    for frame, (line, cells) in enumerate(lines):
        if cells[0] != str(frame):
            raise InputError(f"{path}: line {line}: frame must be {frame}, got {cells[0]!r}")
        if cells[2] not in events:
            raise InputError(f"{path}: line {line}: event must be ED, ES or nothing, got {cells[2]!r}")
        events[cells[2]].append(frame)
        for column, text in enumerate(cells):
            if text and column not in (0, 2):
                number = parse_number(
                    path, line, header[column], text, allowed=np.isfinite, expected="a number, or nothing"
                )
                if column == 1:
                    times[frame] = number
                else:
                    values[frame, column - len(_FIRST_COLUMNS)] = number
    curves = dict(zip(header[len(_FIRST_COLUMNS) :], values.T, strict=True))
    names = tuple(
        name.removesuffix(" (%)")
        for name in curves
        if name.endswith(" (%)") and not name.endswith(f"{_SMOOTHED} (%)") and name != "global (%)"
    )
    smoothed = f"global{_SMOOTHED} (%)" in curves
    try:
        return StrainTable(
            segment_names=names,
            times_s=times if np.isfinite(times).any() else None,
            global_percent=curves["global (%)"],
            segmental_percent=np.stack([curves[f"{name} (%)"] for name in names], axis=1),
            strain_rate_per_s=curves.get(_RATE_COLUMN),
            global_smoothed_percent=curves[f"global{_SMOOTHED} (%)"] if smoothed else None,
            segmental_smoothed_percent=(
                np.stack([curves[f"{name}{_SMOOTHED} (%)"] for name in names], axis=1) if smoothed else None
            ),
            end_diastole_frames=tuple(events["ED"]),
            end_systole_frames=tuple(events["ES"]),
        )
    except (KeyError, ValueError) as error:
        raise InputError(f"{path}: line 1: is not a strain table: {error} is missing") from error


def _read_lines(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    check_regular_file(path, may_be_empty=True)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader if any(cells)]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a text table") from error
    if tuple(header[: len(_FIRST_COLUMNS)]) != _FIRST_COLUMNS or len(set(header)) != len(header):
        raise InputError(
            f"{path}: line 1: expected the columns {','.join(_FIRST_COLUMNS)}, ...,"
            f" found {','.join(header)[:80] or 'nothing'!r}"
        )
    for line, cells in lines:
        if len(cells) != len(header):
            raise InputError(f"{path}: line {line}: expected {len(header)} values, found {len(cells)}")
    if not lines:
        raise InputError(f"{path}: holds no frame, only the column names")
    return header, lines


def strain_report(result: StrainResult, provenance: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns a whole result for JSON: measures, quality, uncertainty, events, raw and smoothed curves, definitions.

    Unknown numbers are null. Units stand in the names (`_percent`, `_s`, `_per_s`, `_px`, `_mm`) and with each
    definition.

    Args:
        provenance: further entries, such as input file and version, put first.
    """
    smoothed = result.smoothed
    curves = {
        "frame": list(range(len(result.global_percent))),
        "time_s": _plain(result.times_s),
        "global_percent": _plain(result.global_percent),
        "segmental_percent": _by_segment(result, result.segmental_percent),
        "natural_global_percent": _plain(result.natural_global_percent),
        "natural_segmental_percent": _by_segment(result, result.natural_segmental_percent),
        "strain_rate_per_s": _plain(result.strain_rate_per_s),
        "segmental_strain_rate_per_s": _by_segment(result, result.segmental_strain_rate_per_s),
        "natural_strain_rate_per_s": _plain(result.natural_strain_rate_per_s),
        "length_mm": _plain(result.length_mm),
        "smoothed_global_percent": None if smoothed is None else _plain(smoothed.global_percent),
        "smoothed_segmental_percent": None if smoothed is None else _by_segment(result, smoothed.segmental_percent),
    }
    segments = []
    for number, (measures, quality) in enumerate(zip(result.segment_measures, result.quality, strict=True)):
        segment: dict[str, Any] = {
            "name": measures.name,
            "number_17": measures.number,
            "quality": _without(asdict(quality), "name"),
            "measures": _without(asdict(measures), "name", "number"),
        }
        if smoothed is not None:
            segment["smoothed_measures"] = _without(asdict(smoothed.segment_measures[number]), "name", "number")
        segments.append(segment)
    return {
        "format": _JSON_FORMAT,
        **(provenance or {}),
        "not_for_clinical_use": True,
        "view": result.view,
        "kind": result.kind,
        "layer": result.layer,
        "tracker": result.model,
        "spacing_mm": result.spacing_mm,
        "events": asdict(result.events),
        "cycle": {"index": result.cycle_index, **asdict(result.cycle)},
        "measures": asdict(result.measures),
        "smoothed_measures": None if smoothed is None else asdict(smoothed.measures),
        "smoothing": None if smoothed is None else smoothed.method,
        "cycle_measures": [asdict(measures) for measures in result.cycle_measures],
        "beats": None if result.beats is None else asdict(result.beats),
        "uncertainty": None if result.uncertainty is None else asdict(result.uncertainty),
        "drift": {
            "global_percent": float(result.drift.global_percent),
            "segmental_percent": dict(zip(result.segment_names, _plain(result.drift.segmental_percent), strict=True)),
            "compensated": result.drift.compensated,
        },
        "segments": segments,
        "notes": list(result.notes),
        "config": asdict(result.config),
        "curves": curves,
        "contour": {"labels": list(result.point_labels), "segment_of_point": _plain(result.segment_of_point)},
        "definitions": {name: {"unit": unit, "definition": text} for name, (unit, text) in DEFINITIONS.items()},
        "source": SOURCE,
    }


def write_strain_json(path: str | Path, result: StrainResult, provenance: Mapping[str, Any] | None = None) -> None:
    """Writes `strain_report` as JSON.

    Raises:
        OutputError: the file cannot be written; nothing is left under its name.
    """
    write_json(path, strain_report(result, provenance))


def read_strain_json(path: str | Path) -> dict[str, Any]:
    """Reads a report that `write_strain_json` wrote.

    Raises:
        InputError: the file is missing, is not JSON, or is not such a report.
    """
    path = as_path(path)
    content = read_json_file(path)
    found = content.get("format") if isinstance(content, dict) else None
    if found != _JSON_FORMAT:
        raise InputError(
            f"{path}: is not a strain report of this version: format is {found!r}, expected {_JSON_FORMAT!r}"
        )
    return content


def _cell(value: float, digits: int) -> float | str:
    """Returns the rounded value, without a minus sign before 0; empty where it is not finite."""
    return round(float(value), digits) + 0.0 if np.isfinite(value) else ""


@overload
def _plain(values: np.ndarray) -> list: ...
@overload
def _plain(values: None) -> None: ...
def _plain(values: np.ndarray | None) -> list | None:
    return None if values is None else np.asarray(values).tolist()


def _by_segment(result: StrainResult, curves: np.ndarray | None) -> dict[str, list] | None:
    return None if curves is None else dict(zip(result.segment_names, _plain(curves.T), strict=True))


def _without(values: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name not in names}
