"""The part of Myocardial Tracking's panel where the user marks the wall by clicks or a curve, with the line between
them and the frame.
"""

from __future__ import annotations

from collections.abc import Callable

import slicer
from slicer import vtkMRMLMarkupsNode
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.markups_display import show_placed_points
from UltrasoundMotionLib.mrml.tracked_wall import is_tracked_wall, tracked_wall
from UltrasoundMotionLib.mrml.wall_contour_nodes import WallPreview, add_clicks
from UltrasoundMotionModuleLib.myocardial_tracking.logic import MarkedWall, MyocardialTrackingLogic
from UltrasoundMotionModuleLib.shared.clip import shownFrame
from UltrasoundMotionModuleLib.shared.clip_section import imageOrNone
from UltrasoundMotionModuleLib.shared.shown_marks import ShownMarks

POINT_EVENTS = tuple(
    getattr(vtkMRMLMarkupsNode, f"{name}Event")
    for name in ("PointPositionDefined", "PointPositionUndefined", "PointRemoved", "PointModified")
)


class WallSection:
    """Makes the wall from the user's marks whenever they change, and draws it until the result of a run takes its
    place.
    """

    def __init__(self, ui: object, logic: MyocardialTrackingLogic, parameters: Callable[[], object]) -> None:
        """`parameters` gives the panel's parameter node wrapper, or None."""
        self._ui, self._logic, self._parametersNow = ui, logic, parameters
        self._contour: vtkMRMLMarkupsNode | None = None
        self._made: tuple[object, MarkedWall | str] = (None, "")
        self._followed: object = None
        self._preview = WallPreview()
        self._shown = ShownMarks(ui.shownSelector, self._marks, _setWallVisible)
        ui.shownSelector.connect("currentIndexChanged(int)", self.onShownChanged)
        ui.clickButton.connect("clicked()", self.onClick)
        ui.drawButton.connect("clicked()", self.onDraw)

    @property
    def _parameters(self) -> object:
        return self._parametersNow()

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._shown.disconnect()
        self._ui.shownSelector.disconnect("currentIndexChanged(int)", self.onShownChanged)
        self._ui.clickButton.disconnect("clicked()", self.onClick)
        self._ui.drawButton.disconnect("clicked()", self.onDraw)

    def enter(self, parameters: object) -> None:
        """Shows other parameters, or none."""
        self._contour = None
        if parameters is None:
            self._preview.clear()
            self._shown.forget()
        elif parameters.trackedWall is not None:
            self._followed = _contourKey(parameters)

    def _marks(self) -> tuple[vtkMRMLMarkupsNode | None, vtkMRMLMarkupsNode | None]:
        marked, tracked = self._parameters.contour, self._parameters.trackedWall
        return (marked if marked is not tracked else None, tracked)

    def showTracked(self) -> None:
        """Shows the tracked wall in place of the marks."""
        self._shown.showTracked()

    def onShownChanged(self, _index: int) -> None:
        """Draws the wall that would be followed while the marks are shown."""
        if self._parameters is not None:
            self._showPreview(self.made())

    def follow(self) -> MarkedWall:
        """Returns the wall for a run, whose result takes the place of the preview.

        Raises:
            InputError: the wall cannot be made from the marks.
        """
        self._followed = _contourKey(self._parameters)
        return self.make()

    def make(self) -> MarkedWall:
        """Makes the wall from the marks; raises as `follow`."""
        parameters = self._parameters
        options = {
            "view": parameters.view.value,
            "layers": parameters.layers.value,
            "wallThickness": parameters.wallThickness,
        }
        frame = parameters.markedFrame if parameters.markedFrame >= 0 else None
        return self._logic.mark(parameters.inputClip, parameters.contour, queryFrame=frame, **options)

    def made(self) -> MarkedWall | str:
        """Returns the wall, or the reason why there is none; computed again only after a change."""
        parameters, image = self._parameters, imageOrNone(self._parameters.inputClip)
        if image is None or parameters.contour is None:
            return ""
        clip = (image.sequence.GetID(), image.sequence.GetMTime(), image.proxy.GetTransformNodeID())
        key = (clip, parameters.markedFrame, parameters.contour.GetTransformNodeID(), _contourKey(parameters))
        if key != self._made[0]:
            try:
                self._made = (key, self.make())
            except InputError as error:
                self._made = (key, str(error))
        return self._made[1]

    def contourMayHaveChanged(self) -> None:
        """Records the frame shown where the user has just chosen a wall; not where a loaded scene brought it."""
        parameters = self._parameters
        contour = parameters.contour if parameters is not None else None
        if contour is not self._contour:
            chosen, self._contour = self._contour is not None or parameters.markedFrame < 0, contour
            if contour is None and parameters is not None:
                parameters.markedFrame = -1
            elif chosen:
                self.markedHere()

    def pointsChanged(self, caller: object) -> None:
        """Records the frame shown where the caller is the marked wall, of which a point was placed or moved."""
        if caller is not None and caller is self._contour and self._parameters is not None:
            self.markedHere()

    def markedHere(self) -> None:
        """Records the frame shown as the one on which the wall is marked."""
        image = imageOrNone(self._parameters.inputClip)
        if image is not None and self._parameters.markedFrame != shownFrame(image):
            self._parameters.markedFrame = shownFrame(image)

    def update(self) -> None:
        """Updates the widgets that depend on the parameters."""
        parameters, ui, marked = self._parameters, self._ui, self.made()
        image = imageOrNone(parameters.inputClip)
        self._shown.update()
        ui.clickButton.enabled = image is not None and not parameters.view.isShortAxis
        ui.drawButton.enabled = image is not None
        ui.placeWidget.setCurrentNode(parameters.contour)
        ui.thicknessSpinBox.enabled = parameters.layers.value > 1
        self._showPreview(marked)
        if image is None:
            ui.wallLabel.text = ""
        elif isinstance(marked, MarkedWall):
            ui.wallLabel.text = "; ".join([_wallText(marked), *marked.contour.notes])
        else:
            text = _(
                "Frame {frame} of {count} is shown: mark the wall on it, best at end-diastole; "
                "it is followed from there."
            )
            ui.wallLabel.text = text.format(frame=shownFrame(image), count=image.sequence.GetNumberOfDataNodes())

    def _showPreview(self, marked: MarkedWall | str) -> None:
        covered = (
            self._parameters.trackedWall is not None
            and not self._shown.isPlacedShown
            and _contourKey(self._parameters) == self._followed
        )
        if isinstance(marked, MarkedWall) and not covered and shownFrame(marked.clip.nodes) == marked.contour.frame:
            self._preview.show(
                marked.clip.nodes, marked.clip.sequence, marked.layers, closed=self._parameters.view.isShortAxis
            )
        else:
            self._preview.clear()

    def onClick(self) -> None:
        """Starts placing of hinge, apex and hinge."""
        self._place(add_clicks(slicer.mrmlScene, _("Hinges and apex")))

    def onDraw(self) -> None:
        """Starts drawing of a curve along the wall."""
        name = "vtkMRMLMarkupsClosedCurveNode" if self._parameters.view.isShortAxis else "vtkMRMLMarkupsCurveNode"
        curve = slicer.mrmlScene.AddNewNodeByClass(name, slicer.mrmlScene.GenerateUniqueName(_("Wall")))
        show_placed_points(curve)
        self._place(curve)

    def _place(self, node: vtkMRMLMarkupsNode) -> None:
        self._parameters.contour = node
        self._ui.placeWidget.setCurrentNode(node)
        self._ui.placeWidget.placeModePersistency = True
        self._ui.placeWidget.placeModeEnabled = True


def _setWallVisible(curve: vtkMRMLMarkupsNode, on: bool) -> None:
    if is_tracked_wall(curve):
        tracked_wall(curve).set_visible(on)
    else:
        curve.SetDisplayVisibility(on)


def _contourKey(parameters: object) -> object:
    """Returns a key of the marks and options of a wall, which differs after every change."""
    contour = parameters.contour
    if contour is None:
        return None
    controls = range(contour.GetNumberOfControlPoints())
    points = tuple(
        (contour.GetNthControlPointPositionStatus(control), *contour.GetNthControlPointPosition(control))
        for control in controls
    )
    return contour.GetID(), points, parameters.view, parameters.layers, parameters.wallThickness


def _wallText(marked: MarkedWall) -> str:
    """`Marked on frame 0 and followed from there: 49 points, 193 mm long`."""
    text = _("Marked on frame {frame} and followed from there: {points} points")
    text, length = text.format(frame=marked.contour.frame, points=len(marked.labels)), marked.contour.length_mm
    return text if length is None else _("{text}, {length} mm long").format(text=text, length=f"{length:.0f}")
