"""The part of Landmark Tracking's panel where the user places landmarks on a frame, and sees from where they are
followed.
"""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.mrml.markups_display import show_placed_points
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionModuleLib.shared.clip import shownFrame
from UltrasoundMotionModuleLib.shared.shown_marks import ShownMarks


class LandmarksSection:
    """Places landmarks one after the other, in a list that is made where there is none."""

    def __init__(
        self, ui: object, parameters: Callable[[], object], result: Callable[[], SequenceNodes | None]
    ) -> None:
        """Connects the widgets.

        Args:
            parameters: gives the panel's parameter node wrapper, or None.
            result: gives the tracked landmarks, or None.
        """
        self._ui, self._parametersNow, self._resultNow = ui, parameters, result
        self._placed: tuple[tuple, int] = ((), 0)
        self._shown = ShownMarks(ui.shownSelector, self._marks)
        ui.landmarksWidget.setNodeBaseName(_("Landmarks"))
        self._connections = (
            (ui.placeButton, "toggled(bool)", self.onPlace),
            (ui.landmarksWidget, "activeMarkupsPlaceModeChanged(bool)", self.onPlaceModeChanged),
            (ui.landmarksWidget.markupsSelectorComboBox(), "nodeAddedByUser(vtkMRMLNode*)", self.onListAdded),
        )
        for sender, signal, slot in self._connections:
            sender.connect(signal, slot)

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._shown.disconnect()
        for sender, signal, slot in self._connections:
            sender.disconnect(signal, slot)

    def forget(self) -> None:
        """Releases the nodes, as when the scene is closed."""
        self._shown.forget()

    def _marks(self) -> tuple[slicer.vtkMRMLNode | None, slicer.vtkMRMLNode | None]:
        placed, tracked = self._parametersNow().landmarks, self._parametersNow().trackedLandmarks
        return (placed if placed is not tracked else None, tracked)

    def update(self, image: SequenceNodes | None) -> None:
        """Updates the widgets that depend on the parameters; `image` is the clip that is chosen."""
        self._ui.placeButton.enabled = image is not None
        self._shown.update()
        if image is None:
            self._ui.queryFrameLabel.text = ""
        else:
            count = image.sequence.GetNumberOfDataNodes()
            self._ui.queryFrameLabel.text = self._queryFrameText(shownFrame(image), count)

    def showTracked(self) -> None:
        """Shows the tracked landmarks in place of those that were placed."""
        self._shown.showTracked()

    # Placing

    def onPlace(self, on: bool) -> None:
        """Starts or ends placing, which goes on from point to point."""
        place = self._ui.landmarksWidget.markupsPlaceWidget()
        if bool(place.placeModeEnabled) == on or self._parametersNow() is None:
            return
        if on:
            place.setCurrentNode(self._listToPlaceIn())
            self._shown.showPlaced()
            place.placeModePersistency = True
        place.placeModeEnabled = on
        self._ui.placeButton.checked = bool(place.placeModeEnabled)

    def stopPlacing(self) -> None:
        """Ends placing, as when the user leaves the module."""
        self.onPlace(False)

    def onPlaceModeChanged(self, on: bool) -> None:
        """Presses or releases the button, as after a right click, which ends placing."""
        self._ui.placeButton.checked = on

    def onListAdded(self, node: slicer.vtkMRMLMarkupsNode) -> None:
        """Shows the points of a list that the user has created in colours of their own."""
        show_placed_points(node)

    def _listToPlaceIn(self) -> slicer.vtkMRMLMarkupsFiducialNode:
        parameters, scene = self._parametersNow(), slicer.mrmlScene
        if parameters.landmarks is None or parameters.landmarks is parameters.trackedLandmarks:
            points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", scene.GenerateUniqueName(_("Landmarks")))
            points.SetControlPointLabelFormat("P%d")
            show_placed_points(points)
            parameters.landmarks = points
        return parameters.landmarks

    # The frame

    def _queryFrameText(self, shown: int, count: int) -> str:
        """Returns the text on the frame from which the points are followed, with a warning where they were placed on
        another frame than the one shown.
        """
        result = self._resultNow()
        if result is not None and not result.proxy.GetLocked():
            return _(
                "Frame {frame} of {count} is shown: drag a tracked point on it to where it should be, then press "
                "\u201cTrack again from here\u201d."
            ).format(frame=shown, count=count)
        points = self._parametersNow().landmarks
        controls = range(points.GetNumberOfControlPoints()) if points is not None else ()
        places = tuple(points.GetNthControlPointPosition(control) for control in controls)
        if places != self._placed[0]:
            self._placed = (places, shown)
        if places and self._placed[1] != shown:
            text = _(
                "The points were placed on frame {placed}, but Track starts on the frame shown, {shown}: go back first."
            )
            return text.format(shown=shown, placed=self._placed[1])
        return _("Frame {frame} of {count} is shown: place the points on it; they are followed from there.").format(
            frame=shown, count=count
        )
