"""The button that shows on the image what is filled before tracking: text, rulers and traces of the scanner."""

from __future__ import annotations

from slicer.i18n import tr as _

from UltrasoundMotionLib.jobs.capabilities.find_graphics import FoundGraphics, find_graphics_job
from UltrasoundMotionLib.mrml.graphics_nodes import hide_graphics, show_graphics, shown_graphics
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.steps import Steps
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob, Preparation
from UltrasoundMotionModuleLib.shared.clip import Clip, clipOf, loadInSteps


class GraphicsOverlay:
    """Finds the graphics of the chosen clip in the child process and shows them; pressed again, takes them away."""

    def __init__(self, panel: object) -> None:
        """Connects `graphicsButton` of a `MotionModuleWidget`."""
        self._panel, self._button = panel, panel.ui.graphicsButton
        self._image: SequenceNodes | None = None
        self._button.connect("clicked()", self.onPressed)

    def disconnect(self) -> None:
        """Disconnects from the panel."""
        self._button.disconnect("clicked()", self.onPressed)

    def update(self, image: SequenceNodes | None) -> None:
        """Looks at the chosen clip."""
        self._image = image
        shown = image is not None and shown_graphics(image) is not None
        self._button.enabled = image is not None and self._panel.run is None
        self._button.text = _("Hide it") if shown else _("Show it")

    def onPressed(self) -> None:
        """Shows or hides the graphics of the clip."""
        if self._image is None:
            return
        if shown_graphics(self._image) is not None:
            hide_graphics(self._image)
            self._panel.onWatchedModified()
            return
        clip = clipOf(self._image.sequence)
        self._panel.startRun(
            lambda: BackgroundJob(_findInSteps(clip), self._panel, partials=False),
            lambda found, *, complete: _show(clip, found),
            self._panel.ensureOwnPackages,
        )


def _findInSteps(clip: Clip) -> Preparation:
    sequence = yield from loadInSteps(clip.sequence)
    return find_graphics_job(sequence)


def _show(clip: Clip, found: FoundGraphics) -> Steps[str]:
    yield 0, 1, _("Showing what is filled")
    if found.mask.any():
        show_graphics(clip.nodes, found.mask)
    return "; ".join(found.notes) or _("Nothing in this clip is taken for the scanner's graphics")
