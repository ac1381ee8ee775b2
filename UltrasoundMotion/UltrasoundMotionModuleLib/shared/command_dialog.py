"""`Show the command`: what repeats the run in a terminal, to read and to copy."""

from __future__ import annotations

import qt
import slicer
from slicer.i18n import tr as _


def showCommand(title: str, command: str, notes: str = "") -> None:
    """Shows a command line with a button that copies it, and what has to be done first."""
    box = qt.QMessageBox(slicer.util.mainWindow())
    box.setWindowTitle(_("{module}: the command").format(module=title))
    box.setText(
        _(
            "This repeats the run in a terminal, in an environment where a copy of the repository was installed "
            "(pip install --editable .):"
        )
    )
    box.setInformativeText("\n\n".join([command, notes]) if notes else command)
    box.setTextInteractionFlags(qt.Qt.TextSelectableByMouse | qt.Qt.TextSelectableByKeyboard)
    copy = box.addButton(_("&Copy"), qt.QMessageBox.AcceptRole)
    box.addButton(qt.QMessageBox.Close)
    box.exec_()
    if box.clickedButton() == copy:
        slicer.app.clipboard().setText(command)
