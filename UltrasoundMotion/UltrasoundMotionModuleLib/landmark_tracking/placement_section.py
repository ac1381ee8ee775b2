"""The part of Landmark Tracking's panel that places a clip in a volume."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.mrml.placement_nodes import show_in_volume
from UltrasoundMotionLib.mrml.placing import PlacedClip
from UltrasoundMotionModuleLib.shared.clip_section import imageOrNone
from UltrasoundMotionModuleLib.shared.connections import Connections

_BY_TRANSFORM, _BY_LANDMARKS = range(2)


class PlacementSection:
    """Places the panel's clip, with its results, by a transform or by landmarks; its widgets have a .ui file of their
    own.
    """

    def __init__(self, panel: object) -> None:
        """Adds the widgets to a `MotionModuleWidget`, above its advanced options."""
        self._panel = panel
        self._widget = slicer.util.loadUI(panel.resourcePath("UI/LandmarkPlacement.ui"))
        self._widget.setMRMLScene(slicer.mrmlScene)
        rows = panel.uiWidget.layout()
        rows.insertWidget(rows.indexOf(panel.ui.advancedCollapsibleButton), self._widget)
        self._ui = ui = slicer.util.childWidgetVariables(self._widget)
        for text in (_("By a transform"), _("By landmarks")):
            ui.placementMethodSelector.addItem(text)
        self._connections = Connections(
            (ui.placementMethodSelector, "currentIndexChanged(int)", self.onChanged),
            (ui.placementVolumeSelector, "currentNodeChanged(vtkMRMLNode*)", self.onChanged),
            (ui.placementTransformSelector, "currentNodeChanged(vtkMRMLNode*)", self.onChanged),
            (ui.clipPointsSelector, "currentNodeChanged(vtkMRMLNode*)", self.onChanged),
            (ui.volumePointsSelector, "currentNodeChanged(vtkMRMLNode*)", self.onChanged),
            (ui.placeInVolumeButton, "clicked()", self.onPlace),
            (ui.showInVolumeButton, "clicked()", self.onShow),
            (ui.takeOutButton, "clicked()", self.onTakeOut),
        )

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._connections.disconnect()

    def onChanged(self, chosen: object = None) -> None:
        """Updates the buttons after a choice."""
        if self._panel.parameters is not None:
            self.update()

    def update(self) -> None:
        """Shows the fields of the method, and enables what the choices allow."""
        ui = self._ui
        landmarks = ui.placementMethodSelector.currentIndex == _BY_LANDMARKS
        for widget in (ui.placementTransformLabel, ui.placementTransformSelector):
            widget.visible = not landmarks
        for widget in (
            ui.clipPointsLabel,
            ui.clipPointsSelector,
            ui.volumePointsLabel,
            ui.volumePointsSelector,
            ui.placementScaleCheckBox,
        ):
            widget.visible = landmarks
        reason = self._whyNot(landmarks)
        ui.placeInVolumeButton.enabled = not reason
        ui.placeInVolumeButton.toolTip = reason or _("Put the clip and its results into the volume, and show both")
        image = imageOrNone(self._panel.parameters.inputClip)
        placed = image is not None and image.proxy.GetParentTransformNode() is not None
        ui.takeOutButton.enabled = placed
        ui.showInVolumeButton.enabled = placed and ui.placementVolumeSelector.currentNode() is not None

    def _whyNot(self, landmarks: bool) -> str:
        ui, image = self._ui, imageOrNone(self._panel.parameters.inputClip)
        volume = ui.placementVolumeSelector.currentNode()
        if image is None:
            return _("Select an ultrasound clip first")
        if self._panel.run is not None:
            return _("Wait until the run has ended")
        if volume is None or volume is image.proxy:
            return _("Select the MRI or CT to place the clip in")
        points = ui.clipPointsSelector.currentNode(), ui.volumePointsSelector.currentNode()
        if landmarks and (None in points or points[0] is points[1]):
            return _("Select two lists: the landmarks on the clip, and those of the same labels in the volume")
        if not landmarks and ui.placementTransformSelector.currentNode() is None:
            return _("Select the transform from the clip to the volume")
        return ""

    def _points(self) -> list[object]:
        """Returns the points that the user placed on the clip."""
        points = self._panel.parameters.landmarks
        return [] if points is None else [points]

    def onPlace(self) -> None:
        """Places the clip and says how well it fits."""
        ui, logic, clip = self._ui, self._panel.logic, self._panel.parameters.inputClip
        volume = ui.placementVolumeSelector.currentNode()
        with slicer.util.tryWithErrorDisplay(_("The clip could not be placed."), waitCursor=True):
            if ui.placementMethodSelector.currentIndex == _BY_LANDMARKS:
                placed = logic.placeByLandmarks(
                    clip,
                    volume,
                    ui.clipPointsSelector.currentNode(),
                    ui.volumePointsSelector.currentNode(),
                    scale=ui.placementScaleCheckBox.checked,
                    pointsNodes=self._points(),
                )
            else:
                transform = ui.placementTransformSelector.currentNode()
                placed = logic.placeByTransform(clip, volume, transform, pointsNodes=self._points())
            self._panel.applyButton.showStatus(_message(placed, volume))
        self.update()

    def onShow(self) -> None:
        """Shows the volume at the plane of the frame that is shown, with the frame over it."""
        image, volume = imageOrNone(self._panel.parameters.inputClip), self._ui.placementVolumeSelector.currentNode()
        if image is not None and volume is not None:
            show_in_volume(volume, image.proxy)

    def onTakeOut(self) -> None:
        """Takes the clip out of the volume."""
        with slicer.util.tryWithErrorDisplay(_("The clip could not be taken out.")):
            self._panel.logic.takeOutOfVolume(self._panel.parameters.inputClip, pointsNodes=self._points())
        self.update()


def _message(placed: PlacedClip, volume: object) -> str:
    text = _("Placed in {volume} under {transform}").format(
        volume=volume.GetName(), transform=placed.transform.GetName()
    )
    return "; ".join([text, *placed.notes])
