"""A registration training's log as a picture: the losses, and the overlap and smoothness on subjects that are not
learned from.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError

LOSS, OVERLAPS = "loss_", ("dice", "segmentation_dice")


def read_curves(path: Path | str) -> dict[str, np.ndarray]:
    """(N, 2) arrays of step and value by the name of the log's column; without the rows in which a column is empty.

    Raises:
        InputError: no log of a registration training.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        names = [name for name in rows[0] if name not in ("step", "seconds", "learning_rate")]
        curves = {
            name: np.array([(float(row["step"]), float(row[name])) for row in rows if row[name]]).reshape(-1, 2)
            for name in names
        }
    except (OSError, KeyError, IndexError, ValueError, TypeError) as error:
        raise InputError(f"{path}: no log of a registration training") from error
    if not any(name.startswith(LOSS) for name in curves):
        raise InputError(f"{path}: no log of a registration training")
    return curves


def write_training_curves(path: Path | str, log: Path | str) -> None:
    """Draws a log as PNG.

    Raises:
        InputError: no log of a registration training.
        MissingPackageError: the extra `plot` is not installed.
        OutputError: the file cannot be written.
    """
    from UltrasoundMotionLib.pictures.plot_packages import require_plot_packages

    require_plot_packages("the picture of a training run")
    from matplotlib.figure import Figure

    curves = read_curves(log)
    losses = {name.removeprefix(LOSS): values for name, values in curves.items() if name.startswith(LOSS)}
    overlaps = {name: values for name, values in curves.items() if name.startswith(OVERLAPS) and len(values)}
    fields = {
        name: values
        for name, values in curves.items()
        if name in ("std_log_jacobian", "folding_percent") and len(values)
    }
    count = 1 + bool(overlaps) + bool(fields)
    figure = Figure(figsize=(5.2 * count, 4.2), layout="constrained")
    panels = list(np.atleast_1d(figure.subplots(1, count)))
    _draw(panels.pop(0), losses, "losses, means over the steps between two rows", marker="")
    if overlaps:
        _draw(panels.pop(0), overlaps, "Dice on validation subjects", marker=".")
    if fields:
        _draw(panels.pop(0), fields, "fields on validation subjects", marker=".")
    with atomic_output(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _draw(panel: object, curves: dict[str, np.ndarray], title: str, marker: str) -> None:
    for name, values in curves.items():
        panel.plot(*values.T, marker=marker, linewidth=1, label=name.replace("_", " "))
    panel.set_title(title, fontsize=10)
    panel.set_xlabel("step")
    panel.grid(alpha=0.25)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8)
