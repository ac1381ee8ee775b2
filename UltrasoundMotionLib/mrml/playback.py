"""Markups while a browser plays them: locked and without labels, as they were when it stops."""

from __future__ import annotations

from collections.abc import Iterator

import slicer

from UltrasoundMotionLib.mrml.markups_items import set_locked
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes


class QuietPlayback:
    """Hides labels, which cannot be read at the clip's rate, and locks points, as Slicer would not store what is
    dragged while a browser plays.
    """

    def __init__(self) -> None:
        self._browser: slicer.vtkMRMLSequenceBrowserNode | None = None
        self._labelled: list[slicer.vtkMRMLMarkupsDisplayNode] = []
        self._unlocked: list[SequenceNodes] = []

    def update(self, browser: slicer.vtkMRMLSequenceBrowserNode | None) -> None:
        """Follows a browser, or none; called after each of its changes, and cheap where it goes on as it did."""
        playing = browser if browser is not None and browser.GetPlaybackActive() else None
        if playing is self._browser:
            return
        self.restore()
        self._browser = playing
        if playing is None:
            return
        for proxy in _markups_of(playing):
            display = proxy.GetDisplayNode()
            if display is not None and display.GetPointLabelsVisibility():
                display.SetPointLabelsVisibility(False)
                self._labelled.append(display)
            if not proxy.GetLocked():
                self._unlocked.append(find_sequence_nodes(proxy))
                set_locked(self._unlocked[-1], True)

    def restore(self) -> None:
        """Shows labels and unlocks points as before; nodes that are gone are left out."""
        self._browser = None
        labelled, self._labelled = self._labelled, []
        unlocked, self._unlocked = self._unlocked, []
        for display in labelled:
            if display.GetScene() is not None:
                display.SetPointLabelsVisibility(True)
        for markups in unlocked:
            if markups.sequence.GetScene() is not None and markups.proxy.GetScene() is not None:
                set_locked(markups, False)


def _markups_of(browser: slicer.vtkMRMLSequenceBrowserNode) -> Iterator[slicer.vtkMRMLMarkupsNode]:
    for proxy in nodes_of_class(browser.GetScene(), "vtkMRMLMarkupsNode"):
        if browser.GetSequenceNode(proxy) is not None:
            yield proxy
