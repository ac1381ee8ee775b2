"""Slicer's file reader for clips: what drag and drop and Add Data offer as "Ultrasound clip (UltrasoundMotion)"."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import Cancelled, InputError, UltrasoundMotionError
from UltrasoundMotionLib.images.readers.image_folder import PICTURE_ENDINGS
from UltrasoundMotionLib.images.readers.video import VIDEO_ENDINGS
from UltrasoundMotionLib.images.sequence_files import SEQUENCE_ENDINGS
from UltrasoundMotionLib.jobs import JobCancelled, JobFailed, JobFinished, JobProgress
from UltrasoundMotionLib.jobs.capabilities.read_clip import ReadClip, read_clip_job
from UltrasoundMotionLib.steps import Steps
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob
from UltrasoundMotionModuleLib.shared.clip_loading import addReadClip
from UltrasoundMotionModuleLib.shared.required_packages import ensureReader

_SURE, _OFFERED = 0.6, 0.4
"""Confidence for videos, which Slicer cannot read, and for files that are its own readers' first: those have 0.5 and
more.
"""
_WAIT_S = 0.01


class ClipFileReader:
    """A scripted reader as Slicer calls it; a module registers it as its class `<module>FileReader`."""

    def __init__(self, parent: object) -> None:
        """`parent` is the qSlicerScriptedFileReader."""
        self.parent = parent

    def description(self) -> str:
        """Returns the text that the user chooses."""
        return _("Ultrasound clip (UltrasoundMotion)")

    def fileType(self) -> str:
        """Returns the name for `slicer.util.loadNodeFromFile(path, "UltrasoundClipFile")`."""
        return "UltrasoundClipFile"

    def extensions(self) -> list[str]:
        """Returns the name filters; pictures are loaded by their folder, in the panels."""
        endings = " ".join(f"*{ending}" for ending in SEQUENCE_ENDINGS if ending not in PICTURE_ENDINGS)
        return [_("Ultrasound clip") + f" ({endings})"]

    def canLoadFile(self, path: str) -> bool:
        """Returns True for the file types that may hold a clip; by the name, so that nothing has to be opened."""
        return bool(self.parent.supportedNameFilters(path))

    def canLoadFileConfidence(self, path: str) -> float:
        """Returns how sure the reader is: volumes and DICOM stay with Slicer's own readers, and this one is offered."""
        if not self.canLoadFile(path):
            return 0.0
        return _SURE if path.lower().endswith(VIDEO_ENDINGS) else _OFFERED

    def load(self, properties: Mapping[str, Any]) -> bool:
        """Adds the clip to the scene; a file that is no clip leaves it as it was and is reported in one line."""
        try:
            clip = readClip(properties["fileName"])
            if properties.get("name"):
                clip = replace(clip, sequence=replace(clip.sequence, name=properties["name"]))
            nodes = addReadClip(clip)
        except UltrasoundMotionError as error:
            self.parent.userMessages().AddMessage(vtk.vtkCommand.ErrorEvent, str(error))
            return False
        self.parent.loadedNodes = [node.GetID() for node in (nodes.proxy, nodes.sequence, nodes.browser)]
        slicer.modules.sequences.showSequenceBrowser(nodes.browser)
        return True


class _Waiting:
    """Listens to a job and shows its progress in a dialog."""

    def __init__(self, dialog: object) -> None:
        self._dialog = dialog
        self.clip: ReadClip | None = None
        self.error: UltrasoundMotionError | None = None

    @property
    def ended(self) -> bool:
        return self.clip is not None or self.error is not None

    def onProgress(self, progress: JobProgress) -> None:
        self._dialog.maximum = max(progress.total, 1)
        self._dialog.value = min(progress.done, progress.total - 1)  # at its maximum the dialog would close

    def onPartial(self, result: object) -> Steps[None]:
        """A clip is of use when it is whole."""
        yield from ()

    def onFinished(self, finished: JobFinished) -> Steps[None]:
        self.clip = finished.result
        yield from ()

    def onFailed(self, failed: JobFailed) -> Steps[None]:
        self.error = InputError(failed.message)
        yield from ()

    def onCancelled(self, cancelled: JobCancelled) -> Steps[None]:
        self.error = Cancelled(_("loading was cancelled"))
        yield from ()


def readClip(path: str | Path) -> ReadClip:
    """Reads a clip in the child process behind a dialog with progress and Cancel; the application goes on.

    Raises:
        UltrasoundMotionError: as `read_sequence`, or the user cancelled.
    """
    ensureReader(path, _("Ultrasound clip"))
    dialog = slicer.util.createProgressDialog(
        labelText=_("Reading {file}").format(file=Path(path).name), windowTitle=_("Ultrasound clip"), maximum=100
    )
    waiting = _Waiting(dialog)
    run = BackgroundJob(read_clip_job(path), waiting)
    cancelled = False
    try:
        run.start()
        while not waiting.ended:
            slicer.app.processEvents()
            if dialog.wasCanceled and not cancelled:
                cancelled = True
                run.cancel()
            time.sleep(_WAIT_S)
    finally:
        if not waiting.ended:
            run.forget()
        dialog.close()
    if waiting.error is not None:
        raise waiting.error
    assert waiting.clip is not None
    return waiting.clip
