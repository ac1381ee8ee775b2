"""Charts, tables and layouts as pictures, for tests and for the pages' pictures: a chart is drawn by VTK from its plot
nodes, as Slicer's plot view does, a table by Qt, slice views by Slicer's own displayable managers.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

_LINES = {
    slicer.vtkMRMLPlotSeriesNode.LineStyleNone: vtk.vtkPen.NO_PEN,
    slicer.vtkMRMLPlotSeriesNode.LineStyleSolid: vtk.vtkPen.SOLID_LINE,
    slicer.vtkMRMLPlotSeriesNode.LineStyleDash: vtk.vtkPen.DASH_LINE,
    slicer.vtkMRMLPlotSeriesNode.LineStyleDot: vtk.vtkPen.DOT_LINE,
}


@dataclass(frozen=True)
class ChartPicture:
    """A drawn chart.

    Attributes:
        pixels: (H, W, 3) uint8, first row at the top.
        legend: left, bottom, width and height in pixels from the lower left corner; None where it is not shown.
        last_x: where the lines end, in pixels from the left.
    """

    pixels: np.ndarray
    legend: tuple[float, float, float, float] | None
    last_x: float


def draw_chart(node: slicer.vtkMRMLPlotChartNode, size: tuple[int, int]) -> ChartPicture:
    """Draws a chart node with the properties that qMRMLPlotView passes on."""
    os.environ.setdefault("VTK_DEFAULT_OPENGL_WINDOW", "vtkEGLRenderWindow")
    chart, view = vtk.vtkChartXY(), vtk.vtkContextView()
    view.GetRenderWindow().SetOffScreenRendering(1)
    view.GetRenderWindow().SetSize(*size)
    view.GetRenderer().SetBackground(1.0, 1.0, 1.0)
    view.GetScene().AddItem(chart)
    last = -np.inf
    for number in range(node.GetNumberOfPlotSeriesNodes()):
        series = node.GetNthPlotSeriesNode(number)
        table = series.GetTableNode().GetTable()
        plot = chart.AddPlot(vtk.vtkChart.LINE)
        plot.SetInputData(table, series.GetXColumnName(), series.GetYColumnName())
        plot.SetWidth(series.GetLineWidth())
        plot.GetPen().SetLineType(_LINES[series.GetLineStyle()])
        plot.SetColorF(*series.GetColor())
        plot.SetLabel(series.GetName())
        last = max(last, float(np.nanmax(vtk_to_numpy(table.GetColumnByName(series.GetXColumnName())))))
    chart.SetTitle(node.GetTitle())
    chart.GetTitleProperties().SetFontSize(node.GetTitleFontSize())
    chart.SetShowLegend(node.GetLegendVisibility())
    chart.GetLegend().GetLabelProperties().SetFontSize(node.GetLegendFontSize())
    for place, title in ((vtk.vtkAxis.BOTTOM, node.GetXAxisTitle()), (vtk.vtkAxis.LEFT, node.GetYAxisTitle())):
        axis = chart.GetAxis(place)
        axis.SetTitle(title)
        axis.SetGridVisible(node.GetGridVisibility())
        axis.GetTitleProperties().SetFontSize(node.GetAxisTitleFontSize())
        axis.GetLabelProperties().SetFontSize(node.GetAxisLabelFontSize())
    bottom = chart.GetAxis(vtk.vtkAxis.BOTTOM)
    if not node.GetXAxisRangeAuto():
        bottom.SetBehavior(vtk.vtkAxis.FIXED)
        bottom.SetUnscaledRange(*node.GetXAxisRange())
    view.GetRenderWindow().SetMultiSamples(4)
    view.Render()
    low, high = bottom.GetMinimum(), bottom.GetMaximum()
    left, right = bottom.GetPoint1()[0], bottom.GetPoint2()[0]
    rectangle = chart.GetLegend().GetBoundingRect(view.GetContext())
    legend = tuple(rectangle[number] for number in range(4)) if node.GetLegendVisibility() else None
    pixels = window_pixels(view.GetRenderWindow())
    return ChartPicture(pixels, legend, left + (last - low) / (high - low) * (right - left))


def window_pixels(window: vtk.vtkRenderWindow) -> np.ndarray:
    """Returns what a window shows, (H, W, 3) uint8 with the first row at the top."""
    grabber = vtk.vtkWindowToImageFilter()
    grabber.SetInput(window)
    grabber.ReadFrontBufferOff()
    grabber.Update()
    image = grabber.GetOutput()
    width, height, _ = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3].copy()
