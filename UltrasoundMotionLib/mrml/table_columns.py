"""Columns of a table node from numpy arrays and texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk


def add_table(
    scene: slicer.vtkMRMLScene, name: str, columns: Mapping[str, np.ndarray | Sequence[str]], units: Mapping[str, str]
) -> slicer.vtkMRMLTableNode:
    """Adds a locked table node; numbers keep full precision in the scene, and six significant digits in a saved file
    (Slicer's own limit).

    Args:
        columns: each (rows,) numbers or texts, by column name.
        units: of some columns, shown in Slicer's table schema.
    """
    return fill_table(scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name)), columns, units)


def fill_table(
    table: slicer.vtkMRMLTableNode, columns: Mapping[str, np.ndarray | Sequence[str]], units: Mapping[str, str]
) -> slicer.vtkMRMLTableNode:
    """Gives a table node these columns instead of what it holds; see `add_table`."""
    was_modifying = table.StartModify()
    table.SetLocked(False)
    table.RemoveAllColumns()
    table.SetUseColumnTitleAsColumnHeader(True)
    for title, values in columns.items():
        column = (
            _text_column(values)
            if len(values) and isinstance(values[0], str)
            else numpy_to_vtk(np.asarray(values), deep=True)
        )
        column.SetName(title)
        table.AddColumn(column)
        if title in units:
            table.SetColumnUnitLabel(title, units[title])
    table.SetLocked(True)
    table.EndModify(was_modifying)
    return table


def _text_column(values: Sequence[str]) -> vtk.vtkStringArray:
    column = vtk.vtkStringArray()
    column.SetNumberOfValues(len(values))
    for row, value in enumerate(values):
        column.SetValue(row, value)
    return column
