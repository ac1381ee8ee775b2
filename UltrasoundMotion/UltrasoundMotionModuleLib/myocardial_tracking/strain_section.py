"""The part of Myocardial Tracking's panel for strain: numbers, segments, events, charts, bull's-eye and report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import qt
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError, UltrasoundMotionError
from UltrasoundMotionLib.mrml.bulls_eye_nodes import find_bulls_eye, hide_bulls_eye, show_bulls_eye
from UltrasoundMotionLib.mrml.layouts import IMAGE_CHART_BULLS_EYE_TABLE
from UltrasoundMotionLib.mrml.table_nodes import tables_for_reading
from UltrasoundMotionLib.mrml.track_links import derived_nodes
from UltrasoundMotionLib.mrml.tracked_wall import TrackedWall
from UltrasoundMotionLib.mrml.views import SliceViewState, show_as_acquired, show_chart, show_table
from UltrasoundMotionLib.mrml.wall_strain import StrainSettings, WallStrain, showing_strain, strain_of_wall
from UltrasoundMotionLib.steps import Steps
from UltrasoundMotionLib.strain import CardiacEvents, StrainResult
from UltrasoundMotionLib.tracking import PointTracks
from UltrasoundMotionModuleLib.myocardial_tracking.strain_texts import layersText, measuresText, numberText
from UltrasoundMotionModuleLib.shared.clip import clipOf, shownFrame
from UltrasoundMotionModuleLib.shared.connections import Connections
from UltrasoundMotionModuleLib.shared.layout_switch import LayoutSwitch
from UltrasoundMotionModuleLib.shared.required_packages import ensurePackages

_EDIT_PAUSE_MS = 150
"""Pause after the last change of an event before strain is computed, so that a spin box can be held."""

_BULLS_EYE_VIEW = "Yellow"


class StrainSection:
    """Computes strain again after every change of its inputs, without tracking the wall again."""

    def __init__(
        self,
        ui: object,
        logic: object,
        showStatus: Callable[[str], None],
        reportRequirements: str,
        *,
        layouts: LayoutSwitch,
        start: Callable[[Steps[str]], None],
    ) -> None:
        """Connects the widgets.

        Args:
            reportRequirements: the requirements file of the packages that draw a report.
            layouts: the panel's layouts.
            start: changes the scene in short steps; what they return becomes the status text.
        """
        self._ui, self._logic, self._showStatus = ui, logic, showStatus
        self._reportRequirements = reportRequirements
        self.wall: TrackedWall | None = None
        self.strain: WallStrain | None = None
        self._segmentCount = 17
        self._filling = False
        self._layouts, self._start = layouts, start
        self._viewBefore: SliceViewState | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_EDIT_PAUSE_MS)
        self._connections = Connections(
            (self._timer, "timeout()", self.onEvents),
            (ui.endDiastoleSpinBox, "valueChanged(int)", self.onEventEdited),
            (ui.endSystoleSpinBox, "valueChanged(int)", self.onEventEdited),
            (ui.diastoleHereButton, "clicked()", self.onDiastoleHere),
            (ui.systoleHereButton, "clicked()", self.onSystoleHere),
            (ui.findEventsButton, "clicked()", self.onFindEvents),
            (ui.segmentsTable, "itemChanged(QTableWidgetItem*)", self.onSegmentChecked),
            (ui.chartsButton, "toggled(bool)", self.onShowCharts),
            (ui.reportButton, "clicked()", self.onExportReport),
        )
        for column, width in enumerate((150, 75)):
            ui.segmentsTable.setColumnWidth(column, width)
        ui.segmentsTable.verticalHeader().setSectionResizeMode(qt.QHeaderView.ResizeToContents)

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._timer.stop()
        self._connections.disconnect()

    def forget(self) -> None:
        """Releases the nodes, as when the scene is closed."""
        self._timer.stop()
        self.wall = self.strain = None
        self._fill("")

    def update(self, wall: TrackedWall | None, choices: Mapping[str, bool], *, segmentCount: int) -> None:
        """Shows a wall's strain; computes it where the wall or a choice has changed since the last call.

        Args:
            choices: arguments of `StrainSettings.with_choices`.
        """
        self._segmentCount, before = segmentCount, self._segmentCount
        if wall is None:
            if self.wall is not None or self._ui.strainLabel.text == "":
                self.wall = self.strain = None
                self._fill(_("Track a wall to see its strain"))
        elif self.wall is None or self.wall.main.sequence is not wall.main.sequence:
            self.wall = wall
            self._read()
        if wall is not None:
            settings = StrainSettings.of_wall(wall)
            wanted = settings.with_choices(**choices)
            if wanted != settings:
                self._compute(wanted)
            elif before != segmentCount and self._layouts.isShown(IMAGE_CHART_BULLS_EYE_TABLE):
                self._start(self._showingBullsEye())
        for button in (self._ui.reportButton, self._ui.chartsButton):
            button.enabled = self.strain is not None
        self._ui.chartsButton.checked = self._layouts.isShown(IMAGE_CHART_BULLS_EYE_TABLE)
        for widget in (
            self._ui.endDiastoleSpinBox,
            self._ui.endSystoleSpinBox,
            self._ui.diastoleHereButton,
            self._ui.systoleHereButton,
        ):
            widget.enabled = self.wall is not None
        self._ui.findEventsButton.enabled = self.wall is not None and bool(
            StrainSettings.of_wall(self.wall).end_diastole_frames
        )

    def showingWall(self, wall: TrackedWall, settings: StrainSettings) -> Steps[str]:
        """Computes and shows the strain of a wall that was just tracked or corrected; returns the status text."""
        self.wall, self.strain = wall, None
        tracks = yield from wall.reading(clipOf(wall.image.sequence).sequence)
        yield 0, 1, _("Measuring strain")
        if self._measure(settings, tracks):
            yield from self._showing()
        return self._headline()

    def _headline(self) -> str:
        return self._ui.strainLabel.text.partition("\n")[0]

    def _read(self) -> None:
        """Reads the strain of a wall whose results are in the scene already."""
        try:
            self.strain = self._logic.computed(self.wall)
            self._fill(measuresText(self.strain))
        except InputError as error:
            self.strain = None
            self._fill(str(error))

    def _compute(self, settings: StrainSettings) -> None:
        """Computes strain and shows it in the panel at once, and then in the scene."""
        tracks = self.strain.tracks if self.strain is not None else None
        if tracks is None:
            tracks = self.wall.tracks(clipOf(self.wall.image.sequence).sequence)
        if self._measure(settings, tracks):
            self._start(self._showing())

    def _measure(self, settings: StrainSettings, tracks: PointTracks) -> bool:
        """Computes strain and shows it in the panel; settings that are not possible are reported and not kept."""
        try:
            self.strain = strain_of_wall(self.wall, clipOf(self.wall.image.sequence).sequence, settings, tracks)
        except InputError as error:
            if self.strain is None:
                settings.keep(self.wall)
            self._fill(str(error))
            return False
        settings.keep(self.wall)
        self._fill(measuresText(self.strain))
        return True

    def _showing(self) -> Steps[str]:
        """Puts strain into the scene."""
        sequence = clipOf(self.wall.image.sequence).sequence
        yield from showing_strain(
            self.wall, sequence, self.strain, landmarks=StrainSettings.of_wall(self.wall).landmarks
        )
        if self._layouts.isShown(IMAGE_CHART_BULLS_EYE_TABLE):
            yield 0, 1, _("Showing the charts")
            self._showChartAndTable()
            yield from self._showingBullsEye()
        return self._headline()

    # The panel

    def _fill(self, text: str) -> None:
        self._filling = True
        self._ui.strainLabel.text = text
        result = self.strain.result if self.strain is not None else None
        self._fillSegments(result)
        frames = self.wall.main.sequence.GetNumberOfDataNodes() if self.wall is not None else 1
        places = (0, 0) if result is None else (result.cycle.reference_frame, result.cycle.end_systole_frame)
        for box, frame in zip((self._ui.endDiastoleSpinBox, self._ui.endSystoleSpinBox), places, strict=True):
            box.maximum = frames - 1
            if result is not None or self.wall is None:
                box.value = frame
        self._ui.layersLabel.text = layersText(self.strain)
        self._ui.layersLabel.visible = self._ui.layersLabel.text != ""
        self._filling = False

    def _fillSegments(self, result: StrainResult | None) -> None:
        table = self._ui.segmentsTable
        table.setRowCount(0 if result is None else len(result.quality))
        if result is None:
            return
        for row, (measures, quality) in enumerate(zip(result.segment_measures, result.quality, strict=True)):
            verdict = quality.reason or _("confidence {confidence}").format(confidence=f"{quality.confidence:.2f}")
            tip = _("{segment}: {verdict}; roughness {roughness} percent points, lost {lost}").format(
                segment=quality.name,
                verdict=verdict,
                roughness=f"{quality.roughness_percent:.1f}",
                lost=f"{quality.lost_share:.0%}",
            )
            for column, text in enumerate((quality.name, numberText(measures.end_systolic_percent), verdict)):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(tip)
                editable = qt.Qt.ItemIsUserCheckable if column == 0 else qt.Qt.NoItemFlags
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | editable)
                if column == 0:
                    item.setCheckState(qt.Qt.Checked if quality.accepted else qt.Qt.Unchecked)
                table.setItem(row, column, item)

    def onSegmentChecked(self, item: object) -> None:
        """Accepts or rejects a segment, whatever its quality measures."""
        if self._filling or self.strain is None or item.column() != 0:
            return
        name, use = item.text(), item.checkState() == qt.Qt.Checked
        settings = StrainSettings.of_wall(self.wall)
        accepted, rejected = (set(names) - {name} for names in (settings.accept_segments, settings.reject_segments))
        (accepted if use else rejected).add(name)
        self._compute(
            replace(settings, accept_segments=tuple(sorted(accepted)), reject_segments=tuple(sorted(rejected)))
        )

    # Events

    def onEventEdited(self, _frame: int = 0) -> None:
        """Computes strain after a pause of the user."""
        if not self._filling and self.wall is not None:
            self._timer.start()

    def onDiastoleHere(self) -> None:
        """Sets end-diastole to the frame shown."""
        self._ui.endDiastoleSpinBox.value = shownFrame(self.wall.image)

    def onSystoleHere(self) -> None:
        """Sets end-systole to the frame shown."""
        self._ui.endSystoleSpinBox.value = shownFrame(self.wall.image)

    def onEvents(self) -> None:
        """Computes strain for the events in the spin boxes."""
        if self.wall is None:
            return
        with slicer.util.tryWithErrorDisplay(_("Strain could not be computed.")):
            settings = StrainSettings.of_wall(self.wall)
            try:
                self._compute(settings.with_events(self._editedEvents()))
            except UltrasoundMotionError as error:
                self._fill(str(error))

    def _editedEvents(self) -> CardiacEvents:
        """Returns the events, with those of the measured cycle as in the spin boxes."""
        diastole, systole = int(self._ui.endDiastoleSpinBox.value), int(self._ui.endSystoleSpinBox.value)
        if self.strain is None:
            return CardiacEvents((diastole,), (systole,))
        events, cycle = self.strain.result.events, self.strain.result.cycle
        diastoles = {diastole, *events.end_diastole_frames} - ({cycle.reference_frame} - {diastole})
        systoles = {systole, *events.end_systole_frames} - ({cycle.end_systole_frame} - {systole})
        return CardiacEvents(tuple(sorted(diastoles)), tuple(sorted(systoles)))

    def onFindEvents(self) -> None:
        """Finds the events from the wall again."""
        with slicer.util.tryWithErrorDisplay(_("Strain could not be computed.")):
            self._compute(StrainSettings.of_wall(self.wall).with_events(None))

    # Charts, bull's-eye, report

    def onShowCharts(self, on: bool) -> None:
        """Shows chart, bull's-eye and table in a layout that has them, and restores the former layout."""
        if on and not self._layouts.isShown(IMAGE_CHART_BULLS_EYE_TABLE):
            with slicer.util.tryWithErrorDisplay(_("The charts could not be shown.")):
                self._layouts.show(IMAGE_CHART_BULLS_EYE_TABLE, self._arrangeResults)
        elif not on:
            self.leave()
            self._layouts.hide(IMAGE_CHART_BULLS_EYE_TABLE)

    def enter(self) -> None:
        """Shows the bull's-eye again where the charts are shown."""
        if self._layouts.isShown(IMAGE_CHART_BULLS_EYE_TABLE):
            self._arrangeResults()

    def leave(self) -> None:
        """Takes the bull's-eye out of its view, which shows what it did before."""
        bulls_eye = find_bulls_eye(slicer.mrmlScene)
        if bulls_eye is not None:
            hide_bulls_eye(bulls_eye, _BULLS_EYE_VIEW)
        if self._viewBefore is not None:
            self._viewBefore.restore()
            self._viewBefore = None

    def _arrangeResults(self) -> None:
        """Shows the clip with chart, bull's-eye and measures around it."""
        if self.wall is not None:
            show_as_acquired(slicer.mrmlScene, self.wall.image.proxy)
            self._showResults()

    def _showResults(self) -> None:
        self._showChartAndTable()
        self._start(self._showingBullsEye())

    def _showChartAndTable(self) -> None:
        scene, main = slicer.mrmlScene, self.wall.main
        for chart in derived_nodes(main, "vtkMRMLPlotChartNode")[:1]:
            show_chart(scene, chart)
        tables = derived_nodes(main, "vtkMRMLTableNode")
        for table in (tables_for_reading(tables) or tables[1:])[:1]:
            show_table(scene, table)

    def _showingBullsEye(self) -> Steps[str]:
        if self.strain is None:
            return self._headline()
        try:
            known = {self.wall.main.sequence.GetID(): self.strain.result}
            nodes = yield from self._logic.drawingBullsEye(self._segmentCount, known)
        except InputError as error:
            return str(error)
        if not self._layouts.isShown(IMAGE_CHART_BULLS_EYE_TABLE):
            return self._headline()
        yield 0, 1, _("Showing the bull's-eye")
        nodes.check_in_scene()
        if self._viewBefore is None:
            self._viewBefore = SliceViewState.of(slicer.mrmlScene, _BULLS_EYE_VIEW)
        show_bulls_eye(nodes, _BULLS_EYE_VIEW)
        return self._headline()

    def onExportReport(self) -> None:
        """Asks for a file and writes the report: a picture, a table, and all values with definitions."""
        name = f"{Path(self.wall.image.proxy.GetName()).stem} strain.png"
        path = qt.QFileDialog.getSaveFileName(
            self._ui.reportButton.window(), _("Export report"), name, _("Reports (*.png)")
        )
        if path:
            with slicer.util.tryWithErrorDisplay(_("The report could not be exported."), waitCursor=True):
                ensurePackages(self._reportRequirements, _("Myocardial Tracking"))
                written = self._logic.exportReport(
                    self.wall, path, title=self.wall.image.proxy.GetName(), segmentCount=self._segmentCount
                )
                self._showStatus(_("Wrote {files}").format(files=", ".join(str(one) for one in written)))
