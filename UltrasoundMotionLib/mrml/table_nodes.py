"""Table nodes, and charts of their columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk

from UltrasoundMotionLib.steps import Steps

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
        column = _text_column(values) if _are_texts(values) else numpy_to_vtk(np.asarray(values), deep=True)
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


def adding_reading_table(
    scene: slicer.vtkMRMLScene, name: str, columns: Mapping[str, tuple[np.ndarray | Sequence[str], int]]
) -> Steps[slicer.vtkMRMLTableNode]:
    """Adds a locked table for reading: numbers as texts of fixed decimals, empty where a number is not known.

    Slicer's table view has no number format and would show six digits of everything; the exact numbers belong into
    another table.

    Args:
        columns: (rows,) numbers or texts, and the decimals of numbers, by the title, which has the unit.
    """
    texts: dict[str, Sequence[str]] = {}
    for title, (values, decimals) in columns.items():
        given = [str(value) for value in values] if _are_texts(values) else None
        texts[title] = given if given is not None else rounded_texts(np.asarray(values), decimals)
        yield len(texts), len(columns), _READING
    units = {title: title[title.rindex("(") + 1 : -1] for title in columns if title.endswith(")")}
    table = add_table(scene, name, texts, units)
    table.SetAttribute(_FOR_READING, "true")
    return table


def tables_for_reading(tables: Sequence[slicer.vtkMRMLTableNode]) -> list[slicer.vtkMRMLTableNode]:
    """Returns those of the tables that are for reading; none in a scene of an older version."""
    return [table for table in tables if table.GetAttribute(_FOR_READING)]


_FOR_READING = "UltrasoundMotion.ForReading"
_READING = "adding the table for reading"


def rounded_texts(values: np.ndarray, decimals: int) -> list[str]:
    """Returns numbers as texts such as `-16.7`, which spreadsheets read as numbers; empty where one is not finite."""
    zero = f"{0:.{decimals}f}"
    texts = np.char.mod(f"%.{decimals}f", values.astype(np.float64)).tolist()
    known = np.isfinite(values).tolist()
    return ["" if not one else zero if text == f"-{zero}" else text for text, one in zip(texts, known, strict=True)]


def _are_texts(values: np.ndarray | Sequence[str]) -> bool:
    return len(values) > 0 and isinstance(values[0], str)


_LEGEND_SERIES = 14
"""With more lines the legend would be taller than the chart and is left out."""

_FONT_SIZE, _LEGEND_FONT_SIZE = 12, 10


def add_chart(
    scene: slicer.vtkMRMLScene,
    name: str,
    series: Sequence[slicer.vtkMRMLPlotSeriesNode],
    x_title: str,
    y_title: str,
    *,
    x_range: tuple[float, float] | None = None,
    width: int = 400,
) -> slicer.vtkMRMLPlotChartNode:
    """Adds a chart `<name> chart` of plot series, with grid, and with a legend unless there are too many lines.

    Args:
        x_range: first and last x of the lines. The axis goes on to the right of them, so that the legend, which Slicer
            draws inside of the chart, covers none. None: the range is Slicer's, and lines may lie below the legend.
        width: pixels of the axis where the chart's view is as narrow as it usually gets.
    """
    chart = scene.AddNewNodeByClass("vtkMRMLPlotChartNode", scene.GenerateUniqueName(f"{name} chart"))
    was_modifying = chart.StartModify()
    for line in series:
        chart.AddAndObservePlotSeriesNodeID(line.GetID())
    chart.SetTitle(name)
    chart.SetXAxisTitle(x_title)
    chart.SetYAxisTitle(y_title)
    chart.SetLegendVisibility(len(series) <= _LEGEND_SERIES)
    chart.SetGridVisibility(True)
    chart.SetTitleFontSize(_FONT_SIZE + 2)
    chart.SetAxisTitleFontSize(_FONT_SIZE)
    chart.SetAxisLabelFontSize(_FONT_SIZE)
    chart.SetLegendFontSize(_LEGEND_FONT_SIZE)
    if x_range is not None and x_range[1] > x_range[0] and chart.GetLegendVisibility():
        _make_room_for_legend(chart, x_range, [line.GetName() for line in series], width)
    chart.EndModify(was_modifying)
    return chart


def _make_room_for_legend(
    chart: slicer.vtkMRMLPlotChartNode, x_range: tuple[float, float], names: Sequence[str], width: int
) -> None:
    share = min(0.5, (52 + 0.5 * _LEGEND_FONT_SIZE * max(map(len, names), default=0)) / width)
    low, high = x_range
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(low, low + (high - low) / (1 - share))
