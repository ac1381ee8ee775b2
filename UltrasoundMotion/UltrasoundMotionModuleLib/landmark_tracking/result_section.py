"""The part of Landmark Tracking's panel for tracked landmarks: correcting them by hand, plot and table, files."""

from __future__ import annotations

from collections.abc import Callable

import qt
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.mrml.layouts import IMAGE_CHART_TABLE
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.tracking_results import show_results
from UltrasoundMotionLib.mrml.views import show_as_acquired
from UltrasoundMotionModuleLib.landmark_tracking.annotation_section import AnnotationSection
from UltrasoundMotionModuleLib.landmark_tracking.landmarks_section import LandmarksSection
from UltrasoundMotionModuleLib.shared.clip_section import imageOrNone
from UltrasoundMotionModuleLib.shared.connections import Connections


class ResultSection:
    """Corrects, shows and exports the result that is chosen; its own run, "Track again", is the panel's."""

    def __init__(
        self,
        panel: object,
        result: Callable[[], SequenceNodes | None],
        landmarks: LandmarksSection,
        annotation: AnnotationSection,
    ) -> None:
        """Connects the widgets of a `MotionModuleWidget`.

        Args:
            result: gives the tracked landmarks, or None.
            landmarks: shows the tracked landmarks in place of the placed ones while they are corrected.
            annotation: locks and unlocks them.
        """
        self._panel, self._ui, self._resultNow = panel, panel.ui, result
        self._landmarks, self._annotation = landmarks, annotation
        self._connections = Connections(
            (panel.ui.correctButton, "toggled(bool)", self.onCorrect),
            (panel.ui.lostButton, "clicked()", self.onPlaceLost),
            (panel.ui.plotButton, "toggled(bool)", self.onShowPlot),
            (panel.ui.exportCsvButton, "clicked()", self.onExportCsv),
            (panel.ui.exportClustButton, "clicked()", self.onExportClust),
        )

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._connections.disconnect()

    def update(self) -> None:
        """Enables what the chosen result allows; nothing is corrected during a run."""
        result, ui = self._resultNow(), self._ui
        for button in (ui.plotButton, ui.exportCsvButton, ui.exportClustButton):
            button.enabled = result is not None
        for button in (ui.correctButton, ui.lostButton, ui.trackAgainButton):
            button.enabled = result is not None and self._panel.run is None
        ui.correctButton.checked = result is not None and not result.proxy.GetLocked()
        ui.plotButton.checked = self._panel.layouts.isShown(IMAGE_CHART_TABLE)

    def onCorrect(self, on: bool) -> None:
        """Unlocks the tracked points, or locks them again for quick playback."""
        result = self._resultNow() if self._panel.parameters is not None else None
        if result is not None and bool(result.proxy.GetLocked()) == on:
            if not self._annotation.setLocked(not on):
                self._panel.applyButton.showStatus(_("Wait until the change of the points has ended"))
            elif on:
                self._landmarks.showTracked()
                self._panel.applyButton.showStatus(
                    _(
                        "Drag a point to where it should be on the frame shown, then press "
                        "\u201cTrack again from here\u201d"
                    )
                )
            self._panel.updatePanel()

    def onPlaceLost(self) -> None:
        """Places the points that were lost on the frame shown at the tracker's guess."""
        with slicer.util.tryWithErrorDisplay(_("The lost points could not be placed.")):
            labels = self._panel.logic.placeLostPoints(self._panel.parameters.trackedLandmarks)
            self._ui.correctButton.checked = True
            found = _("{points}: drag them to where they are, then press \u201cTrack again from here\u201d").format(
                points=", ".join(labels)
            )
            self._panel.applyButton.showStatus(found if labels else _("No point was lost on this frame"))

    def onShowPlot(self, on: bool) -> None:
        """Shows plot and table in a layout that has both beside the image, and restores the former layout."""
        layouts = self._panel.layouts
        if on and not layouts.isShown(IMAGE_CHART_TABLE):
            layouts.show(IMAGE_CHART_TABLE, self._arrange)
        elif not on:
            layouts.hide(IMAGE_CHART_TABLE)

    def _arrange(self) -> None:
        """Shows the clip with plot and table beside it."""
        if self._panel.parameters is None:
            return
        image, result = imageOrNone(self._panel.parameters.inputClip), self._resultNow()
        if image is not None:
            show_as_acquired(slicer.mrmlScene, image.proxy)
        if result is not None:
            show_results(result)

    def onExportCsv(self) -> None:
        """Asks for a file and writes the tracks into it."""
        title, kind = _("Export tracks"), _("Tables (*.csv)")
        path = qt.QFileDialog.getSaveFileName(self._panel.uiWidget, title, "tracks.csv", kind)
        self._export(self._panel.logic.exportCsv, path)

    def onExportClust(self) -> None:
        """Asks for a folder and writes one file for each point into it."""
        folder = qt.QFileDialog.getExistingDirectory(self._panel.uiWidget, _("Export into folder"))
        self._export(self._panel.logic.exportClust, folder)

    def _export(self, write: Callable[[slicer.vtkMRMLNode, str], object], path: str) -> None:
        if path:
            with slicer.util.tryWithErrorDisplay(_("The tracks could not be exported."), waitCursor=True):
                write(self._panel.parameters.trackedLandmarks, path)
                self._panel.applyButton.showStatus(_("Wrote {path}").format(path=path))
