"""The logic that all modules extend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from UltrasoundMotionModuleLib.shared.entry_menu import EntryParameter


class MotionModuleLogic(ScriptedLoadableModuleLogic):
    """Everything a panel does, for scripts: calls wait until they are done, raise InputError for input that cannot be
    used, and return nodes.

    A module gives `parameterNodeClass`, and the parameters that hold names of entries.
    """

    parameterNodeClass: ClassVar[type]
    entryParameters: ClassVar[Iterable[EntryParameter]] = ()

    def __init__(self, parent: object = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self, parent)
        self._notes: list[str] = []

    def getParameterNode(self) -> Any:
        """The module's parameters in the scene; what a loaded scene asks for and is not installed is replaced."""
        node = ScriptedLoadableModuleLogic.getParameterNode(self)
        self._notes += filter(None, [parameter.restore(node) for parameter in self.entryParameters])
        return self.parameterNodeClass(node)

    def takeNotes(self) -> str:
        """Returns what the user should know of the parameters, once."""
        notes, self._notes = self._notes, []
        return " ".join(notes)
