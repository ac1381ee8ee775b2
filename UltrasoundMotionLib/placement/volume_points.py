"""Landmarks in the space of a volume, from Slicer markups or a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.files.query_points_file import control_points
from UltrasoundMotionLib.tracking.files.table_lines import check_label, parse_number, table_lines

COLUMNS = ("label", "r", "a", "s")


def read_volume_points(path: str | Path) -> dict[str, tuple[float, float, float]]:
    """Reads named points in RAS mm, from Slicer markups (`.mrk.json`) or a CSV `label,r,a,s`.

    Raises:
        InputError: naming the file, the place in it and the value; a label given twice, or no point.
    """
    path = Path(path)
    found: dict[str, tuple[float, float, float]] = {}
    for where, label, (r, a, s) in _points(path):
        check_label(path, where, label)
        if label in found:
            raise InputError(f"{path}: {where}: the label {label} is used twice")
        found[label] = (r, a, s)
    if not found:
        raise InputError(f"{path}: holds no point")
    return found


def _points(path: Path) -> list[tuple[str, str, tuple[float, float, float]]]:
    if path.name.lower().endswith(".json"):
        placed = [point for point in control_points(path) if point.position_lps_mm is not None]
        return [(one.where, one.label, _to_ras(one.position_lps_mm)) for one in placed]
    if not path.name.lower().endswith(".csv"):
        raise InputError(f"{path}: expected landmarks as .mrk.json (3D Slicer) or .csv ({','.join(COLUMNS)}, RAS mm)")
    points = []
    for line, values in table_lines(path, COLUMNS):
        r, a, s = (
            parse_number(path, line, name, values[name], allowed=np.isfinite, expected="a number of mm")
            for name in COLUMNS[1:]
        )
        points.append((f"line {line}", values["label"], (r, a, s)))
    return points


def _to_ras(position_lps_mm: np.ndarray | None) -> tuple[float, float, float]:
    left, posterior, superior = np.asarray(position_lps_mm).tolist()
    return -left, -posterior, superior
