"""What a registration measured, as rows of a table node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import slicer

from UltrasoundMotionLib.mrml.table_nodes import fill_table

if TYPE_CHECKING:
    from UltrasoundMotionLib.registration import RegistrationMeasures
    from UltrasoundMotionLib.registration.sequences.sequence_registration import FrameMeasures

COLUMNS = ("measure", "before", "after", "unit")


def fill_measures_table(
    table: slicer.vtkMRMLTableNode,
    measures: RegistrationMeasures,
    *,
    method: str,
    label_names: Mapping[int, str] | None = None,
    notes: Iterable[str] = (),
    interrupted: bool = False,
) -> slicer.vtkMRMLTableNode:
    """Fills a table with one row a measure: columns `measure`, `before`, `after` and `unit`, all text; what was not
    measured is empty.

    Args:
        label_names: of the labels that were compared.
        notes: what registration did beyond what was asked; the table's description.
        interrupted: the search was stopped and these are the best it had; a row says so.
    """
    jacobian = measures.jacobian
    rows = [
        ("local cross-correlation", _text(measures.lncc_before), _text(measures.lncc), "0 to 1"),
        ("mean squared difference", _text(measures.mse_before), _text(measures.mse), "of the grey range squared"),
    ]
    for number, one in measures.labels.items():
        name = (label_names or {}).get(number, f"label {number}")
        rows.append((f"Dice, {name}", _text(one.dice_before), _text(one.dice), "0 to 1"))
        rows.append((f"HD95, {name}", "", _text(one.hd95_mm), "mm"))
    rows += [
        ("Jacobian, least", "", _text(jacobian.minimum), "1 keeps volume"),
        ("Jacobian, greatest", "", _text(jacobian.maximum), "1 keeps volume"),
        ("Jacobian, standard deviation of the logarithm", "", _text(jacobian.std_log), ""),
        ("folded voxels", "", _text(100 * jacobian.share_nonpositive), "%"),
        ("time", "", _text(measures.seconds), "s"),
        ("device", "", measures.device, ""),
        ("method", "", method, ""),
    ]
    if interrupted:
        rows.append(("interrupted", "", "yes", "the best field so far"))
    table.SetDescription("; ".join(notes))
    return fill_table(table, {title: [row[column] for row in rows] for column, title in enumerate(COLUMNS)}, {})


def fill_frames_table(
    table: slicer.vtkMRMLTableNode,
    frames: Iterable[FrameMeasures],
    index_title: str,
    index: Iterable[float],
    *,
    notes: Iterable[str] = (),
) -> slicer.vtkMRMLTableNode:
    """Fills a table with one row a frame: its number, its time (or whatever the sequence is indexed by) and how alike
    it is to the reference.
    """
    rows = list(frames)
    columns = {"frame": np.arange(len(rows)), index_title: np.fromiter(index, dtype=np.float64)}
    if index_title == "frame":
        del columns["frame"]
        columns = {"frame": np.arange(len(rows))}
    columns |= {
        "mean squared difference before": np.array([one.mse_before for one in rows]),
        "mean squared difference after": np.array([one.mse for one in rows]),
        "local cross-correlation before": np.array([one.nlcc_before for one in rows]),
        "local cross-correlation after": np.array([one.nlcc for one in rows]),
        "folded pixels (%)": np.array([100 * one.share_nonpositive for one in rows]),
    }
    table.SetDescription("; ".join(notes))
    return fill_table(table, columns, {})


def _text(value: float) -> str:
    """Four significant digits; empty where nothing was measured."""
    return "" if np.isnan(value) else f"{value:.4g}"
