"""A training run's log as a picture: what was minimised, what was found, and how accurate the network became on the
tuning phantoms.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError

SHOWN = ("heart easy", "heart harder half", "liver easy", "liver harder half")


def read_log(path: Path | str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The columns of a log by name, and (V, 3) arrays of step, accuracy in percent and median trajectory error in px by
    validation group.

    Raises:
        InputError: no log of a training run.
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        columns = {
            name: np.array([float(row[name]) for row in rows])
            for name in ("step", "learning_rate", "l1_px", "cross_entropy", "found_percent")
        }
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: no log of a training run") from error
    groups: dict[str, list[tuple[float, float, float]]] = {}
    for row in rows:
        for name, accuracy, error_px in re.findall(r"([a-z ]+) ([\d.]+) % ([\d.]+) px", row["validation"] or ""):
            groups.setdefault(name.strip(), []).append((float(row["step"]), float(accuracy), float(error_px)))
    return columns, {name: np.array(values) for name, values in groups.items()}


def write_training_plot(path: Path | str, log: Path | str) -> None:
    """Draws a log.

    Raises:
        InputError: no log of a training run.
        MissingPackageError: the extra `plot` is not installed.
        OutputError: the file cannot be written.
    """
    from UltrasoundMotionLib.pictures.plot_packages import require_plot_packages

    require_plot_packages("the picture of a training run")
    from matplotlib.figure import Figure

    columns, groups = read_log(log)
    figure = Figure(figsize=(12, 6.5), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True)
    for panel, name, title in (
        (panels[0, 0], "cross_entropy", "cross-entropy of the right cell (nats)"),
        (panels[0, 1], "l1_px", "L1 distance (px of the network's input)"),
    ):
        panel.plot(columns["step"], columns[name], color="0.75", linewidth=0.8)
        panel.plot(columns["step"], _smooth(columns[name]), color="tab:blue")
        panel.set_title(title, fontsize=10)
    for name in (name for name in SHOWN if name in groups):
        steps, accuracy, error_px = groups[name].T
        panels[1, 0].plot(steps, accuracy, marker=".", label=name)
        panels[1, 1].plot(steps, error_px, marker=".", label=name)
    panels[1, 0].set_title("mean position accuracy on tuning phantoms (%)", fontsize=10)
    panels[1, 1].set_title("median trajectory error on tuning phantoms (px at 256 x 256)", fontsize=10)
    panels[1, 1].set_ylim(bottom=0)
    if groups:
        panels[1, 0].legend(frameon=False)
    for panel in panels.flat:
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[1]:
        panel.set_xlabel("step")
    with atomic_output(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)


def _smooth(values: np.ndarray, width: int = 9) -> np.ndarray:
    padded = np.pad(values, width // 2, mode="edge")
    return np.convolve(padded, np.ones(width) / width, mode="valid")
