"""The buttons of Landmark Tracking that go to another frame: the next, a corrected one, a doubtful one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from slicer.i18n import tr as _

from UltrasoundMotionLib.mrml.layer_corrections import frames_of
from UltrasoundMotionLib.mrml.layer_editing import LayerEditor
from UltrasoundMotionLib.tracking import PointTracks
from UltrasoundMotionLib.tracking.corrections.doubt import Doubt
from UltrasoundMotionModuleLib.shared.clip import showFrame
from UltrasoundMotionModuleLib.shared.connections import Connections


class FrameNavigation:
    """Shows other frames of the result that is edited.

    Attributes:
        editor: of the result; None where there is none.
        tracks: the result as arrays; None where they are not read yet.
        label: the point that is chosen; None for all.
    """

    def __init__(self, logic: object, ui: object, showStatus: Callable[[str], None]) -> None:
        """Connects the buttons."""
        self._logic, self._ui, self._say = logic, ui, showStatus
        self.editor: LayerEditor | None = None
        self.tracks: PointTracks | None = None
        self.label: str | None = None
        self._passed: set[tuple[int, str]] = set()
        self._connections = Connections(
            (ui.previousFrameButton, "clicked()", self.onPreviousFrame),
            (ui.nextFrameButton, "clicked()", self.onNextFrame),
            (ui.previousCorrectedButton, "clicked()", self.onPreviousCorrected),
            (ui.nextCorrectedButton, "clicked()", self.onNextCorrected),
            (ui.doubtButton, "clicked()", self.onNextDoubt),
        )

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._connections.disconnect()

    def forget(self) -> None:
        """Releases the nodes."""
        self.editor = self.tracks = self.label = None
        self.forgetPassed()

    def forgetPassed(self) -> None:
        """Begins anew with the most doubtful frame, as after a run."""
        self._passed.clear()

    def updateButtons(self) -> None:
        """Enables the buttons where there is a result."""
        ui, there = self._ui, self.editor is not None
        for button in (ui.previousFrameButton, ui.nextFrameButton, ui.previousCorrectedButton, ui.nextCorrectedButton):
            button.enabled = there
        ui.doubtButton.enabled = there and self.tracks is not None

    def onFrameClicked(self, frame: int) -> None:
        """Shows a frame."""
        if self.editor is not None:
            showFrame(self.editor.landmarks, frame)

    def onPreviousFrame(self) -> None:
        """Shows the frame before."""
        self._go(range(self._frame), last=True)

    def onNextFrame(self) -> None:
        """Shows the next frame."""
        if self.editor is not None:
            self._go(range(self._frame + 1, self.editor.landmarks.sequence.GetNumberOfDataNodes()))

    def onPreviousCorrected(self) -> None:
        """Shows the last frame before this one on which the user stated something."""
        self._go([frame for frame in self._correctedFrames() if frame < self._frame], last=True)

    def onNextCorrected(self) -> None:
        """Shows the next frame on which the user stated something."""
        self._go([frame for frame in self._correctedFrames() if frame > self._frame])

    @property
    def _frame(self) -> int:
        return self.editor.landmarks.shown_item if self.editor is not None else 0

    def _correctedFrames(self) -> list[int]:
        return list(frames_of(self.editor.corrections, self.label)) if self.editor is not None else []

    def _go(self, frames: Iterable[int], *, last: bool = False) -> None:
        frames = list(frames)
        if frames:
            self.onFrameClicked(frames[-1 if last else 0])
        elif self.editor is not None:
            self._say(_("There is no such frame in this direction"))

    def onNextDoubt(self) -> None:
        """Shows the frame on which the track is least sure, and says why; pressed again, the next one."""
        if self.editor is None or self.tracks is None:
            return
        proxy = self.editor.landmarks.proxy
        found = self._logic.doubtIn(proxy, self.tracks, self.label, self._passed)
        if found is None and self._passed:
            self._passed.clear()
            found = self._logic.doubtIn(proxy, self.tracks, self.label)
        if found is None:
            self._say(_("No doubtful frame is left: all are sure, or settled by you"))
            return
        near = max(1, len(self.tracks.positions_px) // 50)  # frames beside it are doubtful for the same reason
        self._passed |= {(frame, found.label) for frame in range(found.frame - near, found.frame + near + 1)}
        self.onFrameClicked(found.frame)
        self._say(_doubtText(found))


def _doubtText(found: Doubt) -> str:
    """`Frame 17, P2: confidence 0.41; forward and backward tracks 3.2 px apart`."""
    parts = [_("confidence {confidence}").format(confidence=f"{found.confidence:.2f}")]
    if not found.visible:
        parts.insert(0, _("lost by the tracker"))
    if np.isfinite(found.disagreement_px):
        parts.append(
            _("forward and backward tracks {distance} px apart").format(distance=f"{found.disagreement_px:.1f}")
        )
    return _("Frame {frame}, {point}: {reason}").format(frame=found.frame, point=found.label, reason="; ".join(parts))
