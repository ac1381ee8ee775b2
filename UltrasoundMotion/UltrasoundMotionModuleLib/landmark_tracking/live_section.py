"""The part of Landmark Tracking's panel for live tracking: source, start and stop, state, points placed anew."""

from __future__ import annotations

import numpy as np
import qt
import slicer
from slicer import vtkMRMLMarkupsNode
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.jobs import JobRequest, LiveView, live_job
from UltrasoundMotionLib.live.connection import parse_address
from UltrasoundMotionLib.live.recorder import ENDING
from UltrasoundMotionLib.live.request import LiveRequest
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.live_nodes import LiveNodes, placed_points
from UltrasoundMotionLib.mrml.views import show_as_acquired
from UltrasoundMotionModuleLib.landmark_tracking.live_run import LiveRun
from UltrasoundMotionModuleLib.shared.clip import clipOf, whyNotClip
from UltrasoundMotionModuleLib.shared.connections import Connections
from UltrasoundMotionModuleLib.shared.required_packages import ensurePackages

_SERVER, _REPLAY = 0, 1
_VIEWS = ("", "A4C", "A2C", "APLAX", "SAX-base", "SAX-mid", "SAX-apex")
"""Views of a wall, in the order of the menu; the first entry is landmarks."""
_COMMAND_VIEWS = 20
"""Number of states after a command to record in which it may not have arrived yet."""


class LiveSection:
    """Receives images in a child process, and shows the newest with its points; its widgets have a .ui file of their
    own.
    """

    def __init__(self, panel: object) -> None:
        """Adds the widgets to a `MotionModuleWidget`, below its options."""
        self._panel = panel
        self._widget = slicer.util.loadUI(panel.resourcePath("UI/LiveTracking.ui"))
        rows = panel.uiWidget.layout()
        rows.insertWidget(rows.indexOf(panel.ui.advancedCollapsibleButton) + 1, self._widget)
        self._ui = ui = slicer.util.childWidgetVariables(self._widget)
        self._nodes: LiveNodes | None = None
        self._observed: vtkMRMLMarkupsNode | None = None
        self._recordingViews = 0
        self._recordPath = ""
        self._note = ""
        self._run = LiveRun(self.onView, self.onNote)
        self._connections = Connections(
            (ui.liveSourceSelector, "currentIndexChanged(int)", self.onSourceChosen),
            (ui.liveButton, "clicked()", self.onStartOrStop),
            (ui.liveAgainButton, "clicked()", self.onAgain),
            (ui.liveRecordButton, "toggled(bool)", self.onRecord),
        )
        self._update()

    @property
    def running(self) -> bool:
        """True while a session runs."""
        return self._run.running

    @property
    def nodes(self) -> LiveNodes | None:
        """The nodes of the session, None before the first image."""
        return self._nodes

    def disconnect(self) -> None:
        """Ends the session and disconnects from the panel."""
        self.forget()
        self._run.disconnect()
        self._connections.disconnect()

    def forget(self) -> None:
        """Ends the session without waiting for it and releases the nodes, as when the scene is closed."""
        if self._run.running:
            self._run.close()
        self._observe(None)
        self._nodes = None
        self._update()

    # Start and stop

    def onSourceChosen(self, _index: int) -> None:
        """Offers the address where it is needed."""
        self._update()

    def onStartOrStop(self) -> None:
        """Starts a session, or asks the one that runs to end."""
        if self._run.running:
            self._run.stop()
            self._show(_("Stopping ..."))
            return
        with slicer.util.tryWithErrorDisplay(_("Live tracking could not be started.")):
            ensurePackages(self._panel.resourcePath("requirements-live.txt"), self._panel.title)
            self._panel.ensureOwnPackages()
            if self._panel.needsTorch():
                self._panel.addTorch()
            request = self._request()
            self._note = ""
            self._nodes = self._nodes or LiveNodes(slicer.mrmlScene)
            self._nodes.hold = False
            self._run.start(request, self.onEnd)
            self._show(_("Starting ..."))
        self._update()

    def _request(self) -> JobRequest:
        """Makes the job for the widgets as they are.

        Raises:
            InputError: no address, no clip to replay, points that have no place on it.
        """
        parameters, replay = self._panel.parameters, None
        view = _VIEWS[self._ui.liveFollowSelector.currentIndex]
        options = {"wall": bool(view), "view": view or "A4C", "device": parameters.device.value}
        if not view:
            options["model"] = parameters.tracker
        if self._recordPath:
            options["record"] = self._recordPath
        if self._ui.liveSourceSelector.currentIndex == _REPLAY:
            reason = _("Choose a clip to replay") if parameters.inputClip is None else whyNotClip(parameters.inputClip)
            if reason:
                raise InputError(reason)
            replay = clipOf(parameters.inputClip).sequence
        else:
            host, port = parse_address(self._ui.liveAddressEdit.text.strip(), option=_("Address"))
            options["source"] = f"igtl://{host}:{port}"
        found = self._placed()
        labels, places = found if found is not None else (None, None)
        return live_job(LiveRequest(**options), labels=labels, positions_ras=places, replay=replay)

    def _placed(self) -> tuple[tuple[str, ...], np.ndarray] | None:
        """Returns the labels and the places, in RAS mm of the live image, of the points that the user has placed."""
        parameters = self._panel.parameters
        if parameters.landmarks is None or not parameters.landmarks.GetNumberOfDefinedControlPoints():
            return None
        if self._ui.liveSourceSelector.currentIndex == _REPLAY and parameters.inputClip is not None:
            clip, points = self._panel.logic.input(parameters.inputClip, parameters.landmarks)
            return points.labels, pixels_to_ras_mm(clip.sequence, points.points_px)
        return placed_points(parameters.landmarks)

    # While it runs

    def onView(self, view: LiveView) -> None:
        """Shows the newest state."""
        state = view.state
        parts = [state["text"]]
        if "received" in state:
            counts = _("{received} images, {dropped} left out").format(
                received=state["received"], dropped=state["dropped"]
            )
            parts += [counts, state["latency_text"]]
            self._ui.liveStrainLabel.text = state["strain_text"]
            self._showRecording(state["recorded"])
        self._show("; ".join([*parts, self._note] if self._note else parts))
        if self._nodes is not None and self._nodes.show(view):
            show_as_acquired(slicer.mrmlScene, self._nodes.image)
        self._observe(None if self._nodes is None else self._nodes.points)

    def onNote(self, note: str) -> None:
        """Keeps the newest line for the user below the state."""
        self._note = note

    def onEnd(self, message: str) -> None:
        """Shows why the session has ended."""
        end = _("Failed: {message}").format(message=message) if message else _("Stopped")
        self._show("; ".join([end, self._note] if self._note else [end]))
        self._recordPath = ""
        self._setChecked(self._ui.liveRecordButton, False)
        self._update()

    def onAgain(self) -> None:
        """Places the points anew on the newest image."""
        with slicer.util.tryWithErrorDisplay(_("The points could not be placed.")):
            moved = self._nodes is not None and self._nodes.hold
            found = self._nodes.places() if moved else self._placed()
            if found is None:
                raise InputError(_("Place at least one landmark on the live image, or drag a live point"))
            labels, places = found
            self._run.send({"labels": list(labels), "positions_ras": places.tolist()})
            self._nodes.hold = False

    def onRecord(self, on: bool) -> None:
        """Asks for a file and records into it, or ends the recording."""
        if not on:
            self._recordPath = ""
            self._run.send({"command": "record off"})
            return
        title, kind = _("Record the images"), _("Image sequences (*{ending})").format(ending=ENDING)
        path = qt.QFileDialog.getSaveFileName(self._panel.uiWidget, title, f"live{ENDING}", kind)
        if not path:
            self._setChecked(self._ui.liveRecordButton, False)
            return
        self._recordPath = path if path.endswith(ENDING) else f"{path}{ENDING}"
        self._recordingViews = _COMMAND_VIEWS
        self._run.send({"command": f"record {self._recordPath}"})

    def _showRecording(self, recorded: int | None) -> None:
        """Releases the button where nothing is recorded, as when the file could not be opened."""
        self._recordingViews = 0 if recorded is not None else max(0, self._recordingViews - 1)
        if recorded is None and not self._recordingViews and self._ui.liveRecordButton.checked:
            self._recordPath = ""
            self._setChecked(self._ui.liveRecordButton, False)

    # The user drags a live point

    def _observe(self, points: vtkMRMLMarkupsNode | None) -> None:
        if points is self._observed:
            return
        if self._observed is not None:
            self._panel.removeObserver(
                self._observed, vtkMRMLMarkupsNode.PointStartInteractionEvent, self.onDragStarted
            )
        self._observed = points
        if points is not None:
            self._panel.addObserver(points, vtkMRMLMarkupsNode.PointStartInteractionEvent, self.onDragStarted)

    def onDragStarted(self, _caller: object, _event: object) -> None:
        """Keeps the live points where they are until they are placed anew."""
        if self._nodes is not None and self._run.running:
            self._nodes.hold = True
            self._note = _("drag the points to where they are, then press \u201cFind again here\u201d")

    # The widgets

    def _show(self, text: str) -> None:
        self._ui.liveLabel.text = text

    def _update(self) -> None:
        running = self._run.running
        self._ui.liveButton.text = _("Stop live") if running else _("Start live")
        self._ui.liveAgainButton.enabled = running
        for widget in (self._ui.liveSourceSelector, self._ui.liveFollowSelector):
            widget.enabled = not running
        self._ui.liveAddressEdit.enabled = not running and self._ui.liveSourceSelector.currentIndex == _SERVER

    @staticmethod
    def _setChecked(button: object, checked: bool) -> None:
        blocked = button.blockSignals(True)
        button.checked = checked
        button.blockSignals(blocked)
