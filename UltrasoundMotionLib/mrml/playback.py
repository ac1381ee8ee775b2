"""Markups while a browser plays them: locked and without labels, as they were when it stops."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import slicer

from UltrasoundMotionLib.mrml.markups_items import set_shown_locked, setting_locked
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes
from UltrasoundMotionLib.steps import Steps, run_steps


class QuietPlayback:
    """Hides labels, which cannot be read at the clip's rate, and locks points, as Slicer would not store what is
    dragged while a browser plays.
    """

    def __init__(self, start: Callable[[Steps[None]], object] = run_steps) -> None:
        """`start` runs steps over all frames, at once or a slice at a time; in place of those that it runs still. The
        frame that is shown is never left to them.
        """
        self._start = start
        self._browser: slicer.vtkMRMLSequenceBrowserNode | None = None
        self._labelled: list[slicer.vtkMRMLMarkupsDisplayNode] = []
        self._unlocked: list[SequenceNodes] = []
        self._unfinished: list[tuple[SequenceNodes, bool]] = []

    def update(self, browser: slicer.vtkMRMLSequenceBrowserNode | None) -> None:
        """Follows a browser, or none; called after each of its changes, and cheap where it goes on as it did."""
        playing = browser if browser is not None and browser.GetPlaybackActive() else None
        if playing is self._browser:
            for markups in filter(_is_there, self._unlocked):
                set_shown_locked(markups, True)
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
        self._set_locked(self._unlocked, True)

    def restore(self) -> None:
        """Shows labels and unlocks points as before; nodes that are gone are left out."""
        self._browser = None
        labelled, self._labelled = self._labelled, []
        unlocked, self._unlocked = self._unlocked, []
        for display in labelled:
            if display.GetScene() is not None:
                display.SetPointLabelsVisibility(True)
        self._set_locked(unlocked, False)

    def _set_locked(self, several: list[SequenceNodes], locked: bool) -> None:
        several = [markups for markups in several if _is_there(markups)]
        for markups in several:
            set_shown_locked(markups, locked)
        if several:
            changed = {markups.sequence for markups in several}
            others = [one for one in self._unfinished if one[0].sequence not in changed]
            self._unfinished = [*others, *((markups, locked) for markups in several)]
            self._start(self._finishing())

    def _finishing(self) -> Steps[None]:
        while self._unfinished:
            markups, locked = first = self._unfinished[0]
            for progress in setting_locked(markups, locked):
                yield progress
                if not _is_there(markups):
                    break
            self._unfinished = [one for one in self._unfinished if one is not first]


def _is_there(markups: SequenceNodes) -> bool:
    nodes = (markups.sequence, markups.proxy, markups.browser)
    return all(node.GetScene() is not None for node in nodes)


def _markups_of(browser: slicer.vtkMRMLSequenceBrowserNode) -> Iterator[slicer.vtkMRMLMarkupsNode]:
    for proxy in nodes_of_class(browser.GetScene(), "vtkMRMLMarkupsNode"):
        if browser.GetSequenceNode(proxy) is not None:
            yield proxy
