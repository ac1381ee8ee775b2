"""The part of Landmark Tracking's panel for corrections of many frames: keys, undo, the bar over the frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.correction_history import Snapshot
from UltrasoundMotionLib.mrml.layer_corrections import (
    corrections_as_arrays,
    free_label,
    labels_of,
    nearest_label,
)
from UltrasoundMotionLib.mrml.layer_editing import LayerEditor
from UltrasoundMotionLib.mrml.markups_items import set_shown_locked, setting_locked
from UltrasoundMotionLib.mrml.mouse_position import mouse_position_px
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.track_links import image_of
from UltrasoundMotionLib.mrml.tracks_from_nodes import reading_tracks
from UltrasoundMotionLib.pictures.frame_bar import FrameStates
from UltrasoundMotionLib.steps import Steps
from UltrasoundMotionLib.tracking import PointTracks
from UltrasoundMotionModuleLib.landmark_tracking.annotation_keys import AnnotationKeys
from UltrasoundMotionModuleLib.landmark_tracking.corrected_tracking import CorrectedTracking
from UltrasoundMotionModuleLib.landmark_tracking.frame_bar_widget import FrameBarWidget
from UltrasoundMotionModuleLib.landmark_tracking.frame_navigation import FrameNavigation
from UltrasoundMotionModuleLib.landmark_tracking.observers_section import ObserversSection
from UltrasoundMotionModuleLib.shared.connections import Connections
from UltrasoundMotionModuleLib.shared.step_timer import StepTimer

_REACH = 0.06
"""Distance from the mouse within which a point is meant, as a share of the image's longer side."""

_EDIT_BUTTONS = ("acceptButton", "markLostButton", "markLostOnButton", "addPointButton", "trackCorrectedButton")


class AnnotationSection:
    """Corrects the result that is chosen; its widgets have a .ui file of their own."""

    def __init__(self, panel: object, result: Callable[[], SequenceNodes | None]) -> None:
        """Adds the widgets to a `MotionModuleWidget`, below its result.

        Args:
            result: gives the tracked landmarks, or None.
        """
        self._panel, self._resultNow = panel, result
        self._widget = slicer.util.loadUI(panel.resourcePath("UI/LandmarkAnnotation.ui"))
        rows = panel.uiWidget.layout()
        rows.insertWidget(rows.indexOf(panel.ui.resultsCollapsibleButton) + 1, self._widget)
        self._ui = ui = slicer.util.childWidgetVariables(self._widget)
        self._editor: LayerEditor | None = None
        self._observed: tuple[object, tuple[int, ...]] | None = None
        self._beforeDrag: Snapshot | None = None
        self._tracks: PointTracks | None = None
        self._states: FrameStates | None = None
        self._readAt: object = None
        self._isLocking = False
        self._steps = StepTimer(self._say, self._onIdle)
        self._navigation = FrameNavigation(panel.logic, ui, self._say)
        self._tracking = CorrectedTracking(panel, self._navigation.forgetPassed)
        self._bar = FrameBarWidget(ui.frameBar, self._navigation.onFrameClicked)
        self._keys = AnnotationKeys(ui, panel.uiWidget)
        self.observers = ObserversSection(panel, ui, result, self._step)
        self._connections = Connections(
            (ui.pointSelector, "currentIndexChanged(int)", self.onPointChosen),
            (ui.acceptButton, "clicked()", self.onAccept),
            (ui.markLostButton, "clicked()", self.onMarkLost),
            (ui.markLostOnButton, "clicked()", self.onMarkLostOn),
            (ui.addPointButton, "clicked()", self.onAddPoint),
            (ui.undoButton, "clicked()", self.onUndo),
            (ui.redoButton, "clicked()", self.onRedo),
            (ui.trackCorrectedButton, "clicked()", self.onTrackCorrected),
        )

    def enter(self) -> None:
        """Makes the keys work."""
        self._keys.setActive(True)

    def exit(self) -> None:
        """Ends the keys, as the user leaves the module."""
        self._keys.setActive(False)

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self.forget()
        self._steps.disconnect()
        self._navigation.disconnect()
        self._keys.disconnect()
        self._bar.disconnect()
        self.observers.disconnect()
        self._connections.disconnect()

    def forget(self) -> None:
        """Releases the nodes, as when the scene is closed."""
        if self._isLocking and self._editor.landmarks.sequence.GetScene() is not None:
            self._steps.finish()  # a list that is locked on some frames only would be moved by mistake
        self._steps.close()
        self._observe(None)
        self._isLocking = False
        self._editor = self._tracks = self._states = self._readAt = None
        self._tracking.forget()
        self._navigation.forget()
        self._bar.show(None, 0)
        self.observers.forget()

    # What is shown

    def update(self) -> None:
        """Shows the result that is chosen; quick where only the frame has changed."""
        result = self._resultNow()
        if result is None or self._panel.parameters is None:
            if self._editor is not None:
                self.forget()
        elif self._editor is None or self._editor.landmarks.sequence is not result.sequence:
            self.forget()
            self._editor = self._navigation.editor = self._panel.logic.editor(result.proxy)
            self._observe(result.proxy)
            self._fillPoints()
        self.observers.update(result)
        self._read()
        self._updateButtons()
        self._bar.show(self._states, result.shown_item if result is not None else 0)

    @property
    def _landmarks(self) -> SequenceNodes:
        return self._editor.landmarks

    @property
    def _frame(self) -> int:
        return self._landmarks.shown_item

    @property
    def _label(self) -> str | None:
        """The point that is chosen; None for all."""
        index = self._ui.pointSelector.currentIndex
        labels = labels_of(self._landmarks)
        return labels[index - 1] if 0 < index <= len(labels) else None

    def _updateButtons(self) -> None:
        ui, there = self._ui, self._editor is not None
        free = there and self._panel.run is None and not self._steps.busy
        for name in _EDIT_BUTTONS:
            getattr(ui, name).enabled = free
        ui.pointSelector.enabled = there
        history = self._editor.history if there else None
        ui.undoButton.enabled = free and bool(history.next_undo)
        ui.redoButton.enabled = free and bool(history.next_redo)
        self._navigation.updateButtons()

    def _fillPoints(self) -> None:
        selector, chosen = self._ui.pointSelector, self._ui.pointSelector.currentIndex
        blocked = selector.blockSignals(True)
        selector.clear()
        for text in (_("All points"), *labels_of(self._landmarks)):
            selector.addItem(text)
        selector.setCurrentIndex(chosen if 0 <= chosen < selector.count else 0)
        selector.blockSignals(blocked)

    def _read(self) -> None:
        """Reads the tracks in short steps where they have changed, but not while a run changes them all the time."""
        if self._editor is None or self._panel.run is not None or self._steps.running:
            return
        key = self._landmarks.sequence.GetMTime()
        if key != self._readAt:
            self._readAt = key
            image = image_of(self._landmarks)
            reading = reading_tracks(self._landmarks, image, self._editor.sequence)
            self._steps.run(reading, self._onRead, background=True)

    def _onRead(self, tracks: PointTracks) -> None:
        self._tracks = self._navigation.tracks = tracks
        self._showStates()

    def _showStates(self) -> None:
        tracks = self._tracks
        if tracks is not None:
            marks = corrections_as_arrays(self._editor.corrections, tracks.labels, len(tracks.positions_px))
            known = np.isfinite(tracks.positions_px).all(axis=2)
            confidence = np.where(known, np.where(tracks.visible, tracks.confidence, 0.0), np.nan)
            label = self._navigation.label = self._label
            point = tracks.labels.index(label) if label in tracks.labels else None
            self._states = FrameStates.of_points(confidence, *marks, point=point)
            self._bar.show(self._states, self._frame)
        self._updateButtons()

    def _onIdle(self) -> None:
        self._isLocking = False
        if self._editor is not None:
            self._read()
        self._updateButtons()

    def _step(self, steps: Steps, onEnd: Callable[[object], None]) -> None:
        """Starts steps that the user has asked for, unless others or a run are under way."""
        if self._editor is None or self._panel.run is not None or self._steps.busy:
            return
        self._readAt = None  # what was being read is read again afterwards
        self._steps.run(steps, onEnd)
        self._updateButtons()

    def _stopReading(self) -> None:
        if self._steps.running and not self._steps.busy:
            self._steps.close()
            self._readAt = None

    def _say(self, text: str) -> None:
        self._panel.applyButton.showStatus(text)

    def _edit(self, change: Callable[[], str]) -> None:
        """Makes a change that returns the status text; one that is refused says why in the status line."""
        if self._editor is None or self._panel.run is not None or self._steps.busy:
            return
        self._stopReading()
        try:
            self._say(change())
        except InputError as error:
            self._say(str(error))
        self._changed()

    def _changed(self) -> None:
        if self._ui.pointSelector.count != len(labels_of(self._landmarks)) + 1:
            self._fillPoints()
        self._showStates()
        self._read()

    def setLocked(self, locked: bool) -> bool:
        """Locks or unlocks the points: on the frame shown at once, on the others in steps.

        Returns False, and changes nothing, while another change is under way.
        """
        if self._editor is None or self._panel.run is not None or (self._steps.busy and not self._isLocking):
            return False
        set_shown_locked(self._landmarks, locked)
        self._readAt, self._isLocking = None, True
        self._steps.run(setting_locked(self._landmarks, locked), lambda nothing: None)
        self._updateButtons()
        return True

    def onPointChosen(self, index: int) -> None:
        """Shows the states of another point."""
        if self._editor is not None and index >= 0:
            self._showStates()

    # Corrections

    def _observe(self, proxy: slicer.vtkMRMLMarkupsNode | None) -> None:
        if self._observed is not None:
            for tag in self._observed[1]:
                self._observed[0].RemoveObserver(tag)
        self._observed, self._beforeDrag = None, None
        if proxy is not None:
            events = (
                (slicer.vtkMRMLMarkupsNode.PointStartInteractionEvent, self.onDragBegun),
                (slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent, self.onDragEnded),
            )
            self._observed = proxy, tuple(proxy.AddObserver(event, slot) for event, slot in events)

    def onDragBegun(self, caller: object = None, event: object = None) -> None:
        """Keeps the state before a drag, for undo."""
        if self._editor is not None:
            self._beforeDrag = self._editor.history.snapshot([self._frame])

    def onDragEnded(self, caller: object = None, event: object = None) -> None:
        """Takes the point that was dragged as a correction."""
        before, self._beforeDrag = self._beforeDrag, None
        frame = self._frame if self._editor is not None else 0
        self._edit(lambda: self._takeDragged(frame, before))

    def _takeDragged(self, frame: int, before: Snapshot | None) -> str:
        labels = self._editor.take_moved([frame], before if before and frame in before.frames else None)
        if not labels:
            return self._panel.ui.statusLabel.text
        return _("{points} corrected on frame {frame}; press \u201cTrack through corrections\u201d").format(
            points=", ".join(labels), frame=frame
        )

    def onAccept(self) -> None:
        """Accepts the point, or all points, on the frame shown."""
        self._edit(self._accept)

    def _accept(self) -> str:
        labels = self._editor.accept(self._frame, None if self._label is None else [self._label])
        if not labels:
            return _("Nothing to accept on frame {frame}").format(frame=self._frame)
        return _("{points} accepted on frame {frame}").format(points=", ".join(labels), frame=self._frame)

    def onMarkLost(self) -> None:
        """Marks the point as lost on the frame shown, or takes the mark back."""
        self._edit(self._markLost)

    def _markLost(self) -> str:
        label, frame = self._chosenLabel(), self._frame
        if any(one.lost and one.label == label and one.frame == frame for one in self._editor.corrections):
            self._editor.unmark_lost(label, frame)
            return _("{point} is not lost on frame {frame}").format(point=label, frame=frame)
        self._editor.mark_lost([label], [frame])
        return _("{point} is lost on frame {frame}").format(point=label, frame=frame)

    def onMarkLostOn(self) -> None:
        """Marks the point as lost from the frame shown to its next placed frame, or to the end."""
        self._edit(self._markLostOn)

    def _markLostOn(self) -> str:
        label, frame = self._chosenLabel(), self._frame
        placed = [one.frame for one in self._editor.corrections if one.label == label and not one.lost]
        end = min([one for one in placed if one > frame], default=self._landmarks.sequence.GetNumberOfDataNodes())
        text = _("{point} is lost from frame {frame} to {end}").format(point=label, frame=frame, end=end - 1)
        self._step(self._editor.marking_lost([label], range(frame, end)), lambda result: self._ended(text))
        return _("Marking {point} as lost ...").format(point=label)

    def _chosenLabel(self) -> str:
        """The point that is chosen, or the one under the mouse."""
        if self._label is not None:
            return self._label
        sequence = self._editor.sequence
        position = mouse_position_px(image_of(self._landmarks), sequence)
        reach = _REACH * max(sequence.frame_size)
        label = position and nearest_label(self._landmarks, sequence, self._frame, np.array(position), reach)
        if not label:
            raise InputError(_("Choose a point, or hold the mouse over it and press the key"))
        return label

    def onAddPoint(self) -> None:
        """Adds a point under the mouse."""
        self._edit(self._addPoint)

    def _addPoint(self) -> str:
        position = mouse_position_px(image_of(self._landmarks), self._editor.sequence)
        if position is None:
            raise InputError(_("Hold the mouse over the tissue and press the key P"))
        label = free_label(self._landmarks)
        text = _("{point} added on frame {frame}; press \u201cTrack through corrections\u201d").format(
            point=label, frame=self._frame
        )
        self._step(self._editor.adding_point(label, self._frame, position), lambda result: self._ended(text))
        return _("Adding {point} ...").format(point=label)

    def _ended(self, text: str) -> None:
        self._say(text)
        self._changed()

    def onUndo(self) -> None:
        """Takes back the last correction."""
        self._edit(self._undo)

    def _undo(self) -> str:
        history = self._editor.history
        return self._restore(history.next_undo, history.undo, _("Undone: {change}"))

    def onRedo(self) -> None:
        """Makes the correction again that was taken back."""
        self._edit(self._redo)

    def _redo(self) -> str:
        history = self._editor.history
        return self._restore(history.next_redo, history.redo, _("Done again: {change}"))

    def _restore(self, change: str, restoring: Callable[[], Steps], text: str) -> str:
        if not change:
            return _("There is nothing to undo or redo")
        done = text.format(change=change)
        self._step(restoring(), lambda result: self._ended(done))
        return done

    def onTrackCorrected(self) -> None:
        """Follows the corrected points both ways."""
        if self._editor is not None and not self._steps.busy:
            self._stopReading()
            self._tracking.start(self._landmarks)
