"""The part of a panel that loads, chooses, plays and describes a clip: `loadClipButton`, `inputSelector`, `playWidget`,
`seekWidget`, `showClipButton`, `clipLabel`.
"""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.playback import QuietPlayback
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes
from UltrasoundMotionModuleLib.shared.clip import clipDescription, clipOf
from UltrasoundMotionModuleLib.shared.clip_loading import ClipLoading
from UltrasoundMotionModuleLib.shared.listed_clips import PROXY_ATTRIBUTE
from UltrasoundMotionModuleLib.shared.step_timer import StepTimer


class ClipSection:
    """Shows the clip that is chosen; `update` is cheap where nothing has changed."""

    def __init__(self, panel: object) -> None:
        """Connects the widgets of a `MotionModuleWidget` whose parameter `inputClip` is the clip."""
        self._panel, self._ui = panel, panel.ui
        ui = panel.ui
        self.loading = ClipLoading(panel, self.choose)
        self._image: SequenceNodes | None = None
        self._browser: slicer.vtkMRMLSequenceBrowserNode | None = None
        self._description: tuple[object, str] = (None, "")
        self._steps = StepTimer(panel.applyButton.showStatus, self._onIdle)
        self._playback = QuietPlayback(lambda steps: self._steps.run(steps, lambda nothing: None))
        for widget in (ui.playWidget, ui.seekWidget):
            widget.layout().setContentsMargins(0, 0, 0, 0)  # they would make the panel wider and longer than it needs
        ui.inputSelector.addAttribute("vtkMRMLScalarVolumeNode", PROXY_ATTRIBUTE)  # proxies of sequences only
        ui.showClipButton.connect("clicked()", self.onShowClip)

    def disconnect(self) -> None:
        """Disconnects from the panel, whose clip may be playing."""
        self._playback.restore()
        self._steps.finish()
        self._steps.disconnect()
        self._ui.showClipButton.disconnect("clicked()", self.onShowClip)

    def leave(self) -> None:
        """Shows labels and unlocks points that are hidden and locked while the clip plays: its end is not watched from
        here on.
        """
        self._playback.restore()

    def _onIdle(self) -> None:
        if self._panel.isConnected:
            self._panel.onWatchedModified()

    def onlyClip(self) -> slicer.vtkMRMLVolumeNode | None:
        """The scene's clip, where there is exactly one."""
        return self._ui.inputSelector.nodeFromIndex(0) if self._ui.inputSelector.nodeCount() == 1 else None

    def update(self, node: slicer.vtkMRMLNode | None) -> None:
        """Looks at the chosen clip."""
        self._image = imageOrNone(node)
        browser = self._image.browser if self._image is not None else None
        if browser is not self._browser:
            self._browser = browser
            self._ui.playWidget.setMRMLSequenceBrowserNode(browser)
            self._ui.seekWidget.setMRMLSequenceBrowserNode(browser)
        self._playback.update(browser)
        self._ui.showClipButton.enabled = self._image is not None
        self.loading.update()
        texts = (self._describe(), self.loading.whyNotListed(node))
        self._ui.clipLabel.text = "\n".join(text for text in texts if text)

    def choose(self, clip: slicer.vtkMRMLVolumeNode) -> None:
        """Makes a clip that was loaded the input, and shows it large while the user is in the module."""
        self._panel.logic.getParameterNode().inputClip = clip
        if self._panel.isConnected:
            self._panel.layouts.showClip(clip)

    def onShowClip(self) -> None:
        """Shows the clip as it was acquired."""
        with slicer.util.tryWithErrorDisplay(_("The clip could not be shown.")):
            self._panel.layouts.showClip(self._image.proxy)

    def _describe(self) -> str:
        image = self._image
        key = (image.sequence.GetID(), image.sequence.GetMTime()) if image is not None else None
        if key != self._description[0]:
            try:
                text = clipDescription(clipOf(image.sequence).sequence) if image is not None else ""
            except InputError as error:
                text = str(error)
            self._description = (key, text)
        return self._description[1]


def imageOrNone(node: slicer.vtkMRMLNode | None) -> SequenceNodes | None:
    """The sequence that a node belongs to, or None."""
    try:
        return find_sequence_nodes(node) if node is not None else None
    except InputError:
        return None
