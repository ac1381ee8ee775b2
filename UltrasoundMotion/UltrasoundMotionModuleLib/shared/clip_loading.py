"""Loading of clips into a panel: the menu of `loadClipButton`, and the choice of what is loaded while it is open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import qt
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.images.sequence_files import SEQUENCE_ENDINGS
from UltrasoundMotionLib.jobs.capabilities.read_clip import ReadClip, read_clip_job
from UltrasoundMotionLib.mrml.clip_of_volume import frame_counts
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence, adding_image_sequence
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.views import show_as_acquired
from UltrasoundMotionLib.steps import Steps
from UltrasoundMotionModuleLib.shared.background_job import BackgroundJob, nothingToCompute
from UltrasoundMotionModuleLib.shared.clip import clipDescription
from UltrasoundMotionModuleLib.shared.listed_clips import listedClips, unlistedImages, whyNotListed
from UltrasoundMotionModuleLib.shared.required_packages import ensureReader
from UltrasoundMotionModuleLib.shared.sample_data import removeStoredSamples, storedSampleBytes
from UltrasoundMotionModuleLib.shared.volume_dialog import VolumeDialog


class ClipLoading:
    """Loads clips for a panel, and looks at the images that others load while it is open."""

    _folder: ClassVar[str] = ""
    """The folder of the last clip, where the next one is looked for."""

    def __init__(
        self,
        panel: object,
        choose: Callable[[slicer.vtkMRMLVolumeNode], None],
        start: Callable[..., None] | None = None,
    ) -> None:
        """Puts the menu on the button.

        Args:
            panel: a `MotionModuleWidget` whose panel has `loadClipButton`.
            choose: makes a clip's proxy the input.
            start: takes the place of the panel's `startRun`.
        """
        self._panel, self._choose, self._start = panel, choose, start or panel.startRun
        self._newest = ""
        self._looking = False
        self.skipNew()
        button = panel.ui.loadClipButton
        self._menu = qt.QMenu(button)
        self.fileAction = self._menu.addAction(_("File (DICOM, video, MetaImage, NRRD, NIfTI) ..."))
        self.folderAction = self._menu.addAction(_("Folder of pictures ..."))
        self.volumeAction = self._menu.addAction(_("Volume that is loaded ..."))
        self.volumeAction.connect("triggered()", self.onVolume)
        self.fileAction.connect("triggered()", self.onFile)
        self.folderAction.connect("triggered()", self.onFolder)
        self._menu.addSeparator()
        self.removeSamplesAction = self._menu.addAction("")
        self.removeSamplesAction.connect("triggered()", self.onRemoveSamples)
        self._menu.connect("aboutToShow()", self._showSampleSize)
        button.setMenu(self._menu)
        panel.clipLoading = self
        for event in (slicer.vtkMRMLScene.NodeAddedEvent, slicer.vtkMRMLScene.NodeRemovedEvent):
            panel.addObserver(slicer.mrmlScene, event, self._onScene)

    def update(self) -> None:
        """Enables the button where nothing runs, and its line for volumes where there is one."""
        self._panel.ui.loadClipButton.enabled = self._panel.run is None
        self.volumeAction.enabled = bool(self._volumes())

    def whyNotListed(self, chosen: slicer.vtkMRMLNode | None) -> str:
        """Returns why the image that was loaded last is not in the selector, in one line.

        Where a clip is chosen, that is said only of an image that came while the panel was open.
        """
        images = [node for node in self._unlisted if node.GetScene() is not None]
        if chosen is not None:
            images = [node for node in images if node.GetID() == self._newest]
        return whyNotListed(images[-1]) if images else ""

    def skipNew(self) -> None:
        """Takes everything that is now in the scene as known: what a run added is not chosen."""
        self._known = _ids(listedClips(slicer.mrmlScene))
        self._unlisted = unlistedImages(slicer.mrmlScene)

    def onFile(self) -> None:
        """Asks for a file and loads it."""
        endings = " ".join(f"*{ending}" for ending in SEQUENCE_ENDINGS)
        filters = ";;".join((_("Ultrasound clips ({endings})").format(endings=endings), _("All files (*)")))
        self._loadChosen(qt.QFileDialog.getOpenFileName(self._panel.uiWidget, _("Load clip"), self._folder, filters))

    def onFolder(self) -> None:
        """Asks for a folder of pictures and loads it."""
        self._loadChosen(qt.QFileDialog.getExistingDirectory(self._panel.uiWidget, _("Load clip"), self._folder))

    def onRemoveSamples(self) -> None:
        """Deletes the samples that were simulated on this computer."""
        with slicer.util.tryWithErrorDisplay(_("The stored samples could not be removed."), waitCursor=True):
            text = _("Removed the stored samples ({size}); they are simulated again when you load one")
            self._panel.applyButton.showStatus(text.format(size=_megabytes(removeStoredSamples())))

    def _showSampleSize(self) -> None:
        size = storedSampleBytes()
        self.removeSamplesAction.text = _("Remove stored samples ({size})").format(size=_megabytes(size))
        self.removeSamplesAction.enabled = size > 0

    def onVolume(self) -> None:
        """Asks for a volume that is loaded and the axis of its frames, and makes a clip of them."""
        dialog = VolumeDialog(self._panel.uiWidget, self._volumes())
        if dialog.exec():
            with slicer.util.tryWithErrorDisplay(_("The clip could not be made."), waitCursor=True):
                volume, clip = dialog.volume, dialog.clip()
                text = _("Made a clip of {name}").format(name=volume.GetName())
                transformId = volume.GetTransformNodeID()
                self._start(
                    lambda: BackgroundJob(nothingToCompute(clip), self._panel),
                    lambda made, *, complete: self._add(
                        adding_image_sequence(slicer.mrmlScene, made), text, transformId
                    ),
                    lambda: None,
                )
        dialog.dialog.deleteLater()

    def _volumes(self) -> list[slicer.vtkMRMLScalarVolumeNode]:
        """The volumes of several slices that are no sequences."""
        images = [node for node in self._unlisted if node.GetScene() is not None and node.IsA("vtkMRMLVolumeNode")]
        return [node for node in images if frame_counts(node)]

    def load(self, path: str | Path) -> None:
        """Reads a file or a folder in the child process and chooses the clip."""
        panel = self._panel
        self._start(
            lambda: BackgroundJob(read_clip_job(path), panel, partials=False),
            self._show,
            lambda: ensureReader(path, panel.title),
        )

    def _loadChosen(self, path: str) -> None:
        if path:
            ClipLoading._folder = str(Path(path).parent)
            self.load(path)

    def _show(self, clip: ReadClip, *, complete: bool) -> Steps[str]:
        steps = adding_image_sequence(slicer.mrmlScene, clip.sequence, grey_levels=clip.grey_levels, colour=True)
        return self._add(steps, loadedText(clip))

    def _add(self, steps: Steps[SequenceNodes], text: str, transformId: str | None = None) -> Steps[str]:
        """Puts a clip into the scene and chooses it; returns the text."""
        nodes = yield from steps
        nodes.proxy.SetAndObserveTransformNodeID(transformId)
        yield 0, 1, _("Showing the clip")
        nodes.check_in_scene()
        _showFirstFrame(nodes)
        self._choose(nodes.proxy)
        return text

    # What others load

    def _onScene(self, caller: object, event: int) -> None:
        if not self._looking:  # a clip's nodes come one after another: looked at when all are there
            self._looking = True
            qt.QTimer.singleShot(0, self._look)

    def _look(self) -> None:
        """Chooses a clip that is new, and updates the panel."""
        self._looking = False
        panel, scene = self._panel, slicer.mrmlScene
        if panel.parameters is None or scene is None or scene.IsImporting() or scene.IsClosing():
            return
        if not panel.isConnected:  # the user is in another module
            self.skipNew()
            return
        known, before = self._known, _ids(self._unlisted)
        self.skipNew()
        new = [node for node in listedClips(scene) if node.GetID() not in known]
        self._newest = next(
            (node.GetID() for node in reversed(self._unlisted) if node.GetID() not in before), self._newest
        )
        if new and panel.run is None:
            self._choose(new[-1])
        panel.onWatchedModified()


def _ids(nodes: list[slicer.vtkMRMLNode]) -> set[str]:
    return {node.GetID() for node in nodes if node.GetScene() is not None}


def _megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MB"


def addReadClip(clip: ReadClip) -> SequenceNodes:
    """Adds a clip to the scene, in colour where its file is, and shows its first frame as acquired."""
    nodes = add_image_sequence(slicer.mrmlScene, clip.sequence, grey_levels=clip.grey_levels, colour=True)
    _showFirstFrame(nodes)
    return nodes


def _showFirstFrame(nodes: SequenceNodes) -> None:
    nodes.browser.SetSelectedItemNumber(0)
    show_as_acquired(slicer.mrmlScene, nodes.proxy)


def loadedText(clip: ReadClip) -> str:
    """`Loaded heart: 30 frames of 320 x 240 px ...`, and the notes of the reader."""
    text = _("Loaded {name}: {description}").format(name=clip.sequence.name, description=clipDescription(clip.sequence))
    return "; ".join([text, *clip.sequence.notes])
