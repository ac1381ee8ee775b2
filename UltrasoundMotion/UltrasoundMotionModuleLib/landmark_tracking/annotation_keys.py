"""Keys of the buttons for correcting many frames, active while the user is in the module."""

from __future__ import annotations

from collections.abc import Mapping

import qt
import slicer
from slicer.i18n import tr as _

KEYS: Mapping[str, str] = {
    "previousFrameButton": ",",
    "nextFrameButton": ".",
    "previousCorrectedButton": "Q",
    "nextCorrectedButton": "W",
    "doubtButton": "N",
    "acceptButton": "A",
    "markLostButton": "L",
    "markLostOnButton": "Shift+L",
    "addPointButton": "P",
    "undoButton": "Z",
    "redoButton": "Y",
}
"""The key of each button. None is one of Slicer's own: its views take letters (b, f, g, r, s, t, v), brackets, arrows
and Delete, its windows keys with Ctrl; Q, W, Z and Y are Segment Editor's for the same purposes, and active only there.
"""


class AnnotationKeys:
    """A QShortcut for each button; a key does what a click does, and nothing where the button is disabled."""

    def __init__(self, ui: object, panel: object) -> None:
        """Makes the shortcuts, not active yet, and writes the keys into the buttons' tool tips.

        Args:
            ui: has the buttons by name.
            panel: a widget, for where there is no main window.
        """
        self._shortcuts = []
        for name, key in KEYS.items():
            button = getattr(ui, name)
            button.toolTip = _("{text} (key {key})").format(text=button.toolTip, key=key)
            shortcut = qt.QShortcut(qt.QKeySequence(key), slicer.util.mainWindow() or panel)
            shortcut.enabled = False
            shortcut.connect("activated()", lambda button=button: button.click())
            self._shortcuts.append(shortcut)

    def setActive(self, active: bool) -> None:
        """Makes the keys work, or not."""
        for shortcut in self._shortcuts:
            shortcut.enabled = active

    def disconnect(self) -> None:
        """Removes the shortcuts, which would outlive the panel in the main window."""
        for shortcut in self._shortcuts:
            shortcut.enabled = False
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []
