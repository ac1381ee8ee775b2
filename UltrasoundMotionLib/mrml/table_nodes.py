"""Table nodes, and charts of their columns."""

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


def add_series(
    table: slicer.vtkMRMLTableNode,
    columns: tuple[str, str],
    name: str,
    *,
    color: tuple[float, float, float],
    width: float = 2.0,
) -> slicer.vtkMRMLPlotSeriesNode:
    """Adds the line of two of a table's columns, (x, y)."""
    x_column, y_column = columns
    series = table.GetScene().AddNewNodeByClass("vtkMRMLPlotSeriesNode", name)
    series.SetAndObserveTableNodeID(table.GetID())
    series.SetXColumnName(x_column)
    series.SetYColumnName(y_column)
    series.SetPlotType(slicer.vtkMRMLPlotSeriesNode.PlotTypeScatter)
    series.SetMarkerStyle(slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone)
    series.SetLineStyle(slicer.vtkMRMLPlotSeriesNode.LineStyleSolid)
    series.SetLineWidth(width)
    series.SetColor(*color)
    return series


def add_chart(
    scene: slicer.vtkMRMLScene, name: str, series: Sequence[slicer.vtkMRMLPlotSeriesNode], x_title: str, y_title: str
) -> slicer.vtkMRMLPlotChartNode:
    """Adds the chart `<name> chart` of these lines, with legend and grid."""
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(f"{name} chart"))
    was_modifying = chart.StartModify()
    for one in series:
        chart.AddAndObservePlotSeriesNodeID(one.GetID())
    chart.SetTitle(name)
    chart.SetXAxisTitle(x_title)
    chart.SetYAxisTitle(y_title)
    chart.SetLegendVisibility(True)
    chart.SetGridVisibility(True)
    chart.EndModify(was_modifying)
    return chart
