"""The part of Landmark Tracking's panel where the user places landmarks on a frame, and sees from where they are
followed.
"""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.mrml.markups_display import limit_labels, show_placed_points
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionModuleLib.shared.clip import shownFrame
from UltrasoundMotionModuleLib.shared.connections import Connections
from UltrasoundMotionModuleLib.shared.shown_marks import ShownMarks

_Place = tuple[float, float, float]


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
        self._key: tuple[object, object] | None = None
        self._placed: dict[str, tuple[_Place, int]] = {}
        self._shown = ShownMarks(ui.shownSelector, self._marks)
        ui.landmarksWidget.setNodeBaseName(_("Landmarks"))
        self._connections = Connections(
            (ui.placeButton, "toggled(bool)", self.onPlace),
            (ui.landmarksWidget, "activeMarkupsPlaceModeChanged(bool)", self.onPlaceModeChanged),
            (ui.landmarksWidget.markupsSelectorComboBox(), "nodeAddedByUser(vtkMRMLNode*)", self.onListAdded),
        )

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._shown.disconnect()
        self._connections.disconnect()

    def forget(self) -> None:
        """Releases the nodes, as when the scene is closed."""
        self._shown.forget()
        self._key, self._placed = None, {}

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
            self._notePlaces(image)
            self._ui.queryFrameLabel.text = self._frameText(image)

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

    def queryFrame(self, image: SequenceNodes) -> int:
        """The frame from which the points are followed: the one on which they were placed, else the one shown."""
        placed = self._parametersNow().placedFrame
        return placed if 0 <= placed < image.sequence.GetNumberOfDataNodes() else shownFrame(image)

    def _notePlaces(self, image: SequenceNodes) -> None:
        """Records on which frame each point was placed or moved last; the latest of them is the frame of all.

        Points that the user chooses count as placed on the frame shown, those of a loaded scene as it was saved.
        """
        parameters, shown = self._parametersNow(), shownFrame(image)
        places, key = _places(parameters.landmarks), (parameters.landmarks, image.sequence)
        if key != self._key:
            loaded = self._key is None and parameters.placedFrame >= 0
            latest = self.queryFrame(image) if loaded else shown
            self._key, self._placed = key, {name: (place, latest) for name, place in places.items()}
        else:
            latest, before = parameters.placedFrame, self._placed
            if len(places) > len(before):
                limit_labels(parameters.landmarks)
            self._placed = {name: before.get(name, (place, shown)) for name, place in places.items()}
            for name, place in places.items():
                if before.get(name, (None, 0))[0] != place:
                    self._placed[name] = (place, shown)
                    latest = shown
        latest = latest if places else -1
        if parameters.placedFrame != latest:
            parameters.placedFrame = latest

    def _placedElsewhere(self) -> list[str]:
        """The labels of the points that were placed on other frames than the one from which they are followed."""
        parameters = self._parametersNow()
        names = [name for name, (_place, frame) in self._placed.items() if frame != parameters.placedFrame]
        return [
            parameters.landmarks.GetNthControlPointLabel(parameters.landmarks.GetNthControlPointIndexByID(name))
            for name in names
        ]

    def _frameText(self, image: SequenceNodes) -> str:
        """Returns the text on the frame shown, that of the points, and what to do on it."""
        result, count, shown = self._resultNow(), image.sequence.GetNumberOfDataNodes(), shownFrame(image)
        if result is not None and not result.proxy.GetLocked():
            return _(
                "Frame {frame} of {count} is shown: drag a tracked point on it to where it should be, then press "
                "\u201cTrack again from here\u201d."
            ).format(frame=shown, count=count)
        elsewhere = self._placedElsewhere()
        if elsewhere:
            return _(
                "{points} were placed on another frame than frame {placed}, from which all are followed: drag them to "
                "where they are on it."
            ).format(points=_shortList(elsewhere), placed=self.queryFrame(image))
        if not self._placed or shown == self.queryFrame(image):
            return _("Frame {frame} of {count} is shown: place the points on it; they are followed from there.").format(
                frame=shown, count=count
            )
        if result is not None:
            text = _("Frame {frame} of {count} is shown. The points were placed on frame {placed}.")
        else:
            text = _(
                "Frame {frame} of {count} is shown. The points were placed on frame {placed} and are followed from "
                "there."
            )
        return text.format(frame=shown, count=count, placed=self.queryFrame(image))


def _places(points: slicer.vtkMRMLMarkupsNode | None) -> dict[str, _Place]:
    """The position of each point that is placed, by its ID."""
    return {
        points.GetNthControlPointID(control): points.GetNthControlPointPosition(control)
        for control in range(points.GetNumberOfControlPoints() if points is not None else 0)
        if points.GetNthControlPointPositionStatus(control) == points.PositionDefined
    }


def _shortList(labels: list[str], most: int = 3) -> str:
    """`P1, P2, P3 and 4 more`."""
    shown = ", ".join(labels[:most])
    rest = len(labels) - most
    return shown if rest <= 0 else _("{labels} and {count} more").format(labels=shown, count=rest)
