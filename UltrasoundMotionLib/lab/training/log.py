"""The log of a training: rows of losses and validations as CSV, read back as curves and drawn."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError

LOG_NAME, PLOT_NAME = "log.csv", "log.png"
_LOSS, _VALIDATION = "loss_", "validation_"
_SMOOTHED = 9
"""Rows that a smoothed loss is averaged over."""


def write_log(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows as CSV, with the columns in the order in which they first appear.

    Columns: step, seconds, learning_rate, loss_NAME (mean since the row before), validation_NAME (empty in rows without
    validation).

    Raises:
        OutputError: the file cannot be written.
    """
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with atomic_output(path) as temporary:
        Path(temporary).write_text(text.getvalue(), encoding="utf-8")


def read_log(path: Path | str) -> dict[str, np.ndarray]:
    """Reads a log as curves: (N, 2) arrays of step and value by the column's name, without its empty rows.

    Raises:
        InputError: not the log of a training.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = [name for name in rows[0] if name != "step"]
        curves = {
            name: np.array([(float(row["step"]), float(row[name])) for row in rows if row[name]]).reshape(-1, 2)
            for name in names
        }
    except (OSError, KeyError, IndexError, ValueError, TypeError) as error:
        raise InputError(f"{path}: not the log of a training") from error
    if not any(name.startswith(_LOSS) for name in curves):
        raise InputError(f"{path}: not the log of a training")
    return curves


def plot_log(path: Path | str, log: Path | str) -> None:
    """Draws a log as PNG: the losses, and the figures of the validations by their unit.

    Raises:
        InputError: not the log of a training.
        MissingPackageError: the extra `plot` is not installed.
        OutputError: the file cannot be written.
    """
    from UltrasoundMotionLib.pictures.plot_packages import require_plot_packages

    require_plot_packages("the picture of a training run")
    from matplotlib.figure import Figure

    curves = read_log(log)
    groups: dict[str, dict[str, np.ndarray]] = {}
    for column, values in curves.items():
        if column.startswith(_LOSS):
            groups.setdefault("losses", {})[column.removeprefix(_LOSS)] = values
    for column, values in curves.items():
        if column.startswith(_VALIDATION) and len(values):
            name = column.removeprefix(_VALIDATION)
            groups.setdefault(f"validation{_unit(name)}", {})[name] = values
    figure = Figure(figsize=(5.2 * len(groups), 4.2), layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(groups)))
    for panel, (title, group) in zip(panels, groups.items(), strict=True):
        _draw(panel, title, group)
    with atomic_output(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _unit(name: str) -> str:
    """Returns the unit that ends a figure's name, for the title."""
    for ending, unit in (("_px", ", px"), ("_percent", ", %")):
        if name.endswith(ending):
            return unit
    return ""


def _draw(panel: Any, title: str, curves: Mapping[str, np.ndarray]) -> None:
    for name, values in curves.items():
        label = name.replace("_", " ")
        if len(values) > _SMOOTHED:
            (line,) = panel.plot(*values.T, linewidth=0.8, alpha=0.3)
            panel.plot(values[:, 0], _smooth(values[:, 1]), linewidth=1, color=line.get_color(), label=label)
        else:
            panel.plot(*values.T, marker=".", linewidth=1, label=label)
    panel.set_title(title, fontsize=10)
    panel.set_xlabel("step")
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8)


def _smooth(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, _SMOOTHED // 2, mode="edge")
    return np.convolve(padded, np.ones(_SMOOTHED) / _SMOOTHED, mode="valid")
