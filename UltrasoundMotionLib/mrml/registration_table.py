"""Measures of a registration as rows of a table node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import slicer

from UltrasoundMotionLib.mrml.table_nodes import fill_table

if TYPE_CHECKING:
    from UltrasoundMotionLib.registration.registration import RegistrationMeasures
    from UltrasoundMotionLib.registration.sequences.sequence_registration import FrameMeasures

_COLUMNS = ("measure", "before", "after", "unit")


def fill_measures_table(
    table: slicer.vtkMRMLTableNode,
    measures: RegistrationMeasures,
    *,
    method: str,
    label_names: Mapping[int, str] | None = None,
    notes: Iterable[str] = (),
    interrupted: bool = False,
) -> slicer.vtkMRMLTableNode:
    """Fills a table with one row per measure: `measure`, `before`, `after` and `unit`, all text, empty where unknown.

    Args:
        label_names: names of the compared labels.
        notes: notes of the registration, which become the table's description.
        interrupted: True if the registration was stopped early, which is stated in a row.
    """
    jacobian = measures.jacobian
    rows = [
        ("local cross-correlation", _text(measures.lncc_before), _text(measures.lncc), "0 to 1"),
        ("mean squared difference", _text(measures.mse_before), _text(measures.mse), "of the grey range squared"),
    ]
    if measures.alike is not None:
        rows.append(("likeness of coarse copies", _text(measures.alike_before), _text(measures.alike), "-1 to 1"))
    for number, label in measures.labels.items():
        name = (label_names or {}).get(number, f"label {number}")
        rows.append((f"Dice, {name}", _text(label.dice_before), _text(label.dice), "0 to 1"))
        rows.append((f"HD95, {name}", "", _text(label.hd95_mm), "mm"))
    rows += [
        ("Jacobian, least", "", _text(jacobian.minimum), "1 keeps volume"),
        ("Jacobian, greatest", "", _text(jacobian.maximum), "1 keeps volume"),
        ("Jacobian, standard deviation of the logarithm", "", _text(jacobian.std_log), ""),
        ("folded voxels", "", _text(100 * jacobian.share_nonpositive), "%"),
        *_rows_inside(measures),
        ("time", "", _text(measures.seconds), "s"),
        ("device", "", measures.device, ""),
        ("method", "", method, ""),
    ]
    if interrupted:
        rows.append(("interrupted", "", "yes", "the best field so far"))
    table.SetDescription("; ".join(notes))
    return fill_table(table, {title: [row[column] for row in rows] for column, title in enumerate(_COLUMNS)}, {})


def _rows_inside(measures: RegistrationMeasures) -> list[tuple[str, str, str, str]]:
    """Returns the rows of the Jacobian where the field matters, see `RegistrationMeasures.inside`."""
    jacobian = measures.jacobian_inside
    if jacobian is None:
        return []
    where = f"inside the {measures.inside}"
    return [
        (f"Jacobian {where}, least", "", _text(jacobian.minimum), "1 keeps volume"),
        (f"Jacobian {where}, greatest", "", _text(jacobian.maximum), "1 keeps volume"),
        (f"Jacobian {where}, standard deviation of the logarithm", "", _text(jacobian.std_log), ""),
        (f"folded voxels {where}", "", _text(100 * jacobian.share_nonpositive), "%"),
    ]


def fill_frames_table(
    table: slicer.vtkMRMLTableNode,
    frames: Iterable[FrameMeasures],
    index_title: str,
    index: Iterable[float],
    *,
    notes: Iterable[str] = (),
) -> slicer.vtkMRMLTableNode:
    """Fills a table with one row per frame: number, index value such as the time, and similarity to the reference."""
    rows = list(frames)
    columns: dict[str, np.ndarray | Sequence[str]] = {"frame": np.arange(len(rows))}
    if index_title != "frame":
        columns[index_title] = np.fromiter(index, dtype=np.float64)
    columns |= {
        "mean squared difference before": np.array([row.mse_before for row in rows]),
        "mean squared difference after": np.array([row.mse for row in rows]),
        "local cross-correlation before": np.array([row.nlcc_before for row in rows]),
        "local cross-correlation after": np.array([row.nlcc for row in rows]),
        "folded pixels (%)": np.array([100 * row.share_nonpositive for row in rows]),
    }
    table.SetDescription("; ".join(notes))
    return fill_table(table, columns, {})


def _text(value: float | None) -> str:
    """Formats a value with four significant digits; empty where it was not measured."""
    return "" if value is None or np.isnan(value) else f"{value:.4g}"
