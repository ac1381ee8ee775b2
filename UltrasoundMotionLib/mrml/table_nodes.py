"""Table nodes, and charts of their columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk

_UNREADABLE = re.compile(r'["\x00-\x1f\x7f]')


def table_text(text: str) -> str:
    """Returns a text as a saved table holds it: Slicer's reader of tables splits a cell at quotes, tabs and lines."""
    return _UNREADABLE.sub(lambda match: "'" if match[0] == '"' else " ", text)


def add_table(
    scene: slicer.vtkMRMLScene, name: str, columns: Mapping[str, np.ndarray | Sequence[str]], units: Mapping[str, str]
) -> slicer.vtkMRMLTableNode:
    """Adds a locked table node.

    Numbers keep full precision in the scene, and six significant digits in a saved file (Slicer's own limit).

    Args:
        columns: (rows,) numbers or texts of each column by its title.
        units: units of some columns, shown in Slicer's table schema.
    """
    return fill_table(scene.AddNewNodeByClass("vtkMRMLTableNode", scene.GenerateUniqueName(name)), columns, units)


def fill_table(
    table: slicer.vtkMRMLTableNode, columns: Mapping[str, np.ndarray | Sequence[str]], units: Mapping[str, str]
) -> slicer.vtkMRMLTableNode:
    """Replaces the content of a table node; arguments as in `add_table`."""
    was_modifying = table.StartModify()
    table.SetLocked(False)
    table.RemoveAllColumns()
    table.SetUseColumnTitleAsColumnHeader(True)
    for title, values in columns.items():
        texts = len(values) > 0 and isinstance(values[0], str)
        column = _text_column(values) if texts else numpy_to_vtk(np.asarray(values), deep=True)
        column.SetName(table_text(title))
        table.AddColumn(column)
        if title in units:
            table.SetColumnUnitLabel(table_text(title), units[title])
    table.SetLocked(True)
    table.EndModify(was_modifying)
    return table


def _text_column(values: np.ndarray | Sequence[str]) -> vtk.vtkStringArray:
    column = vtk.vtkStringArray()
    column.SetNumberOfValues(len(values))
    for row, value in enumerate(values):
        column.SetValue(row, table_text(str(value)))
    return column


def add_series(
    table: slicer.vtkMRMLTableNode,
    columns: tuple[str, str],
    name: str,
    *,
    color: tuple[float, float, float],
    width: float = 2.0,
) -> slicer.vtkMRMLPlotSeriesNode:
    """Adds a plot series of two columns (x, y) of a table."""
    x_column, y_column = columns
    series = slicer.vtkMRMLPlotSeriesNode()
    series.SetName(name)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName(table_text(x_column))
    series.SetYColumnName(table_text(y_column))
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
    series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
    series.SetLineWidth(width)
    series.SetColor(*color)
    return table.GetScene().AddNode(series)


def add_chart(
    scene: slicer.vtkMRMLScene, name: str, series: Sequence[slicer.vtkMRMLPlotSeriesNode], x_title: str, y_title: str
) -> slicer.vtkMRMLPlotChartNode:
    """Adds a chart `<name> chart` of plot series, with legend and grid."""
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(f"{name} chart"))
    was_modifying = chart.StartModify()
    for line in series:
        chart.AddAndObservePlotSeriesNodeID(line.GetID())
    chart.SetTitle(name)
    chart.SetXAxisTitle(x_title)
    chart.SetYAxisTitle(y_title)
    chart.SetLegendVisibility(True)
    chart.SetGridVisibility(True)
    chart.EndModify(was_modifying)
    return chart
