"""Charts, tables and layouts as pictures, for tests and for the pages' pictures: a chart is drawn by VTK from its plot
nodes, as Slicer's plot view does, a table and the panel by Qt, slice views by Slicer's own displayable managers.
"""

from __future__ import annotations

import os
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

try:
    from PIL import Image, ImageDraw
    from PySide6 import QtWidgets

    import qt_stand_ins
except ImportError:  # charts can be drawn without them
    Image = ImageDraw = QtWidgets = qt_stand_ins = None

if TYPE_CHECKING:
    from UltrasoundMotionLib.mrml.layouts import OwnLayout

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


@dataclass(frozen=True)
class Window:
    """Slicer's main window, and how much of it is not views.

    Attributes:
        size: width and height in pixels.
        panel_width: width of the module panel.
        above, below: heights of title, menus and tool bars, and of the status bar.
        panel_above, panel_below: heights of logo and help above the panel, and of the data probe below it.
        bar: height of the bar above each view.
    """

    size: tuple[int, int]
    panel_width: int = 420
    above: int = 90
    below: int = 24
    panel_above: int = 85
    panel_below: int = 130
    bar: int = 22

    @property
    def views(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of the area of the views."""
        width, height = self.size
        return self.panel_width, self.above, width - self.panel_width, height - self.above - self.below

    @property
    def panel(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of the part of the panel that is seen without scrolling."""
        top = self.above + self.panel_above
        return 0, top, self.panel_width, self.size[1] - self.below - self.panel_below - top


WINDOWS = (Window((1600, 1000)), Window((1366, 768)))

_GREY = (225, 225, 228)


def view_rectangles(description: str, area: tuple[int, int, int, int]) -> dict[str, tuple[int, int, int, int]]:
    """Returns left, top, width and height of each view of a layout by its name, where its splitters have their shares
    of an area.
    """
    found: dict[str, tuple[int, int, int, int]] = {}

    def place(element: ET.Element, left: int, top: int, width: int, height: int) -> None:
        if element.tag == "view":
            found[element.get("singletontag", "")] = (left, top, width, height)
            return
        items = element.findall("item")
        shares = [int(item.get("splitSize", "1")) for item in items]
        across = element.get("type") == "horizontal"
        done = 0
        for item, share in zip(items, shares, strict=True):
            start, end = (round((width if across else height) * part / sum(shares)) for part in (done, done + share))
            done += share
            if across:
                place(item[0], left + start, top, end - start, height)
            else:
                place(item[0], left, top + start, width, end - start)

    place(ET.fromstring(description), *area)
    return found


def draw_table(node: slicer.vtkMRMLTableNode, size: tuple[int, int]) -> Image.Image:
    """Draws what fits of a table node."""
    table = node.GetTable()
    columns, rows = table.GetNumberOfColumns(), min(table.GetNumberOfRows(), size[1] // 20)
    widget = QtWidgets.QTableWidget(rows, columns)
    widget.setHorizontalHeaderLabels([table.GetColumnName(column) for column in range(columns)])
    for column in range(columns):
        for row in range(rows):
            text = table.GetColumn(column).GetVariantValue(row).ToString()
            widget.setItem(row, column, QtWidgets.QTableWidgetItem(text))
    widget.resizeColumnsToContents()
    widget.verticalHeader().setDefaultSectionSize(22)
    widget.resize(*size)
    return _grabbed(widget)


def draw_panel(panel: object, size: tuple[int, int]) -> Image.Image:
    """Draws the part of a panel that is seen without scrolling."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "panel.png"
        qt_stand_ins.render(panel.uiWidget, path, size[0])
        whole = Image.open(path).convert("RGB")
    shown = Image.new("RGB", size, _GREY)
    shown.paste(whole, (0, 0))
    return shown


def draw_window(
    window: Window, layout: OwnLayout, panel: object, views: dict[str, Callable[[tuple[int, int]], Image.Image]]
) -> Image.Image:
    """Draws Slicer's window in a layout.

    Args:
        panel: the module's widget.
        views: draws the content of each view at a size, by the name of the view.
    """
    picture = Image.new("RGB", window.size, _GREY)
    left, top, width, height = window.panel
    picture.paste(draw_panel(panel, (width, height)), (left, top))
    bars = ImageDraw.Draw(picture)
    colors = {"Red": "#F34A33", "Yellow": "#EDD54C"}
    for name, (left, top, width, height) in view_rectangles(layout.description, window.views).items():
        bars.rectangle((left, top, left + width - 1, top + window.bar - 1), fill=colors.get(name, "#9f9fb4"))
        picture.paste(views[name]((width - 2, height - window.bar - 2)), (left + 1, top + window.bar + 1))
    return picture


def _grabbed(widget: QtWidgets.QWidget) -> Image.Image:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "widget.png"
        widget.grab().toImage().save(str(path))
        return Image.open(path).convert("RGB")
