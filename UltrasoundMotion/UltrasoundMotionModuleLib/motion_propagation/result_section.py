"""The part of Motion Propagation's panel for a carried object: playing, measures, chart and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import qt
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.carried_files import formats_of
from UltrasoundMotionLib.mrml.carried_measures import ObjectMeasures
from UltrasoundMotionLib.mrml.carrying import carried_object
from UltrasoundMotionLib.mrml.layouts import IMAGE_CHART_TABLE
from UltrasoundMotionLib.mrml.object_motion import image_of_browser
from UltrasoundMotionLib.mrml.views import show_as_acquired, show_chart, show_table
from UltrasoundMotionLib.steps import Steps
from UltrasoundMotionModuleLib.motion_propagation.tasks import MeasuredObject, exportFrames, measureAgain
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob, computedHere
from UltrasoundMotionModuleLib.shared.connections import Connections

_FORMAT_TEXTS = {
    "nrrd": _("NRRD (.nrrd)"),
    "stl": _("STL surfaces (.stl)"),
    "vtp": _("VTK surfaces (.vtp)"),
    "csv": _("Points (.csv)"),
}
_MOST_NAMED = 4
"""Measures that the panel's text names."""


class ResultSection:
    """Shows what is chosen as the result; its runs are those of the panel."""

    def __init__(self, panel: object) -> None:
        """Connects the widgets of a `MotionModuleWidget` whose parameter `carried` is the result."""
        self._panel, self._ui = panel, panel.ui
        self._formats: tuple[str, ...] = ()
        self._shown: MeasuredObject | None = None
        self._connections = Connections(
            (panel.ui.measureButton, "clicked()", self.onMeasure),
            (panel.ui.plotButton, "toggled(bool)", self.onPlot),
            (panel.ui.exportButton, "clicked()", self.onExport),
        )

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._connections.disconnect()

    def forget(self) -> None:
        """Releases the nodes, as when the scene is closed."""
        self._shown = None
        self._ui.measuresLabel.text = ""

    def show(self, result: MeasuredObject) -> None:
        """Shows the measures of a result that was just made."""
        self._shown = result if result.measureNodes is not None else None
        self._ui.measuresLabel.text = measuresText(result.measures) if result.measures is not None else ""
        if self._panel.layouts.isShown(IMAGE_CHART_TABLE):
            self._showNodes()

    def update(self) -> None:
        """Enables what the chosen result allows."""
        proxy, ui = self._panel.parameters.carried, self._ui
        reason = self.whyNot(proxy)
        resting = self._panel.run is None
        formats = formats_of(proxy) if not reason else ()
        if formats != self._formats:
            self._formats = formats
            ui.formatComboBox.clear()
            for name in formats:
                ui.formatComboBox.addItem(_FORMAT_TEXTS[name])
        isImage = proxy is not None and proxy.IsA("vtkMRMLVolumeNode") and not proxy.IsA("vtkMRMLLabelMapVolumeNode")
        ui.measureButton.enabled = resting and not reason and not isImage
        ui.exportButton.enabled = ui.formatComboBox.enabled = resting and not reason
        if self._shown is not None and (self._shown.nodes.proxy is not proxy or not self._isThere()):
            self._shown = None
            ui.measuresLabel.text = ""
        if reason:
            ui.measuresLabel.text = reason
        elif self._shown is None and ui.measuresLabel.text == "" and not isImage:
            ui.measuresLabel.text = _("Press \u201cMeasure again\u201d for volumes, areas and lengths over time")
        ui.plotButton.checked = self._panel.layouts.isShown(IMAGE_CHART_TABLE)
        ui.plotButton.enabled = self._shown is not None or ui.plotButton.checked

    def whyNot(self, proxy: slicer.vtkMRMLNode | None) -> str:
        """Returns the reason why a node is no result; empty for a result."""
        if proxy is None:
            return _("Carry an object along to see it here")
        try:
            carried_object(proxy)
        except InputError as error:
            return str(error)
        return ""

    def _isThere(self) -> bool:
        nodes = self._shown.measureNodes
        return nodes.reading.GetScene() is not None and nodes.chart.GetScene() is not None

    def onMeasure(self) -> None:
        """Measures the result again, as after an edit."""
        proxy = self._panel.parameters.carried
        self._panel.startRun(
            lambda: BackgroundJob(computedHere(measureAgain(proxy)), self._panel),
            self._showMeasured,
            ensure=lambda: None,
        )

    def _showMeasured(self, result: MeasuredObject, *, complete: bool) -> Steps[str]:
        yield 0, 1, _("Showing the measures")
        self.show(result)
        return _("Measured {name}").format(name=result.nodes.proxy.GetName())

    def onPlot(self, on: bool) -> None:
        """Shows the image with chart and table beside it, and restores the former layout."""
        layouts = self._panel.layouts
        if on and not layouts.isShown(IMAGE_CHART_TABLE):
            with slicer.util.tryWithErrorDisplay(_("The chart could not be shown.")):
                layouts.show(IMAGE_CHART_TABLE, self._showNodes)
        elif not on:
            layouts.hide(IMAGE_CHART_TABLE)

    def _showNodes(self) -> None:
        if self._shown is None or not self._isThere():
            return
        show_chart(slicer.mrmlScene, self._shown.measureNodes.chart)
        show_table(slicer.mrmlScene, self._shown.measureNodes.reading)
        image = image_of_browser(self._shown.nodes)
        if image is not None and image.GetImageData().GetDimensions()[2] == 1:
            show_as_acquired(slicer.mrmlScene, image)

    def onExport(self) -> None:
        """Asks for a folder and writes one file for each frame into a new folder within it."""
        parent = qt.QFileDialog.getExistingDirectory(self._ui.exportButton.window(), _("Export every frame into"))
        if parent:
            self.export(parent)

    def export(self, parent: str) -> None:
        """Writes the frames into a new folder within a folder."""
        proxy, name = self._panel.parameters.carried, self._formats[self._ui.formatComboBox.currentIndex]
        folder = _freeFolder(Path(parent), f"{proxy.GetName()} frames {name}")
        self._panel.startRun(
            lambda: BackgroundJob(computedHere(exportFrames(proxy, folder, name)), self._panel),
            _written,
            ensure=lambda: None,
        )


def _freeFolder(parent: Path, name: str) -> Path:
    plain = "".join(letter if letter.isalnum() or letter in "-_ " else "-" for letter in name)
    numbers = (f" {number}" if number else "" for number in range(1000))
    return next(folder for folder in (parent / f"{plain}{number}" for number in numbers) if not folder.exists())


def _written(folder: Path, *, complete: bool) -> Steps[str]:
    yield 0, 1, _("Looking at the files")
    count = sum(1 for _path in folder.iterdir()) - 1
    return _("Wrote {count} files and a table of times into {folder}").format(count=count, folder=folder)


def measuresText(measures: ObjectMeasures) -> str:
    """`cavity area: 12.1 to 18.9 cm2`, one line for each of the first measures."""
    lines = []
    for column in measures.columns[:_MOST_NAMED]:
        values = column.values[np.isfinite(column.values)]
        if len(values):
            text = _("{name}: {least} to {most} {unit}")
            unit = "cm\u00b2" if column.unit == "cm2" else column.unit
            lines.append(
                text.format(name=column.name, least=f"{values.min():.3g}", most=f"{values.max():.3g}", unit=unit)
            )
    more = len(measures.columns) - _MOST_NAMED
    return "\n".join([*lines, *([_("and {count} more in the table").format(count=more)] if more > 0 else [])])
