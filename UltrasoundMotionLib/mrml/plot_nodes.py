"""Lines of a table and the chart that a plot view shows."""

from __future__ import annotations

from collections.abc import Sequence

import slicer


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
