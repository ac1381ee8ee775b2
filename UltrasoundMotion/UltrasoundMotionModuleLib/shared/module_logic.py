"""The logic that all modules extend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from UltrasoundMotionModuleLib.shared.entry_menu import EntryParameter


class MotionModuleLogic(ScriptedLoadableModuleLogic):
    """The actions of a panel as calls for scripts: they wait until they are done, raise InputError for input that
    cannot be used, and return nodes.

    A module defines `parameterNodeClass`, and the parameters that hold names of entries.
    """

    parameterNodeClass: ClassVar[type]
    entryParameters: ClassVar[Iterable[EntryParameter]] = ()

    def __init__(self, parent: object = None) -> None:
        ScriptedLoadableModuleLogic.__init__(self, parent)
        self._notes: list[str] = []

    def getParameterNode(self) -> Any:
        """Returns the module's parameters in the scene; entries that a loaded scene asks for and that are not installed
        are replaced by the default.
        """
        node = ScriptedLoadableModuleLogic.getParameterNode(self)
        self._notes += filter(None, [parameter.restore(node) for parameter in self.entryParameters])
        return self.parameterNodeClass(node)

    def takeNotes(self) -> str:
        """Returns messages for the user about the parameters, each once."""
        notes, self._notes = self._notes, []
        return " ".join(notes)
