"""The logic that all modules extend."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

from slicer.ScriptedLoadableModule import ScriptedLoadableModuleLogic

from UltrasoundMotionLib.jobs import run_job
from UltrasoundMotionLib.jobs.capabilities.read_clip import read_clip_job
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionModuleLib.shared.background_job import sharedProcess
from UltrasoundMotionModuleLib.shared.clip_loading import addReadClip
from UltrasoundMotionModuleLib.shared.entry_menu import EntryParameter
from UltrasoundMotionModuleLib.shared.required_packages import ensureReader


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

    def loadClip(self, path: str | Path) -> SequenceNodes:
        """Adds the clip of a file or of a folder of pictures, as **Load clip...** does; its `proxy` is the image.

        Raises:
            InputError: the file is no clip.
            MissingPackageError: a video, and the package that reads it was not installed.
        """
        ensureReader(path, self.moduleName)
        return addReadClip(run_job(read_clip_job(path), sharedProcess().process))

    def takeNotes(self) -> str:
        """Returns messages for the user about the parameters, each once."""
        notes, self._notes = self._notes, []
        return " ".join(notes)
