"""Sample clips: simulated on this computer at first use (no network), then stored in Slicer's cache folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import UltrasoundMotionError
from UltrasoundMotionLib.images import read_sequence, write_sequence
from UltrasoundMotionLib.jobs import JobRequest, run_job
from UltrasoundMotionLib.jobs.capabilities.simulate import SimulatedClip, simulation_job
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.markups_display import limit_labels, show_placed_points
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.views import show_as_acquired
from UltrasoundMotionLib.tracking import read_tracks_csv, write_tracks_csv
from UltrasoundMotionModuleLib.shared.background_job import sharedProcess

VERSION = 1
"""Part of the folder's name; a changed simulation needs a new one."""

_FOLDER_PREFIX = "UltrasoundMotion-samples-"


class StoredSample(Protocol):
    """Data that are simulated at first use and then stored."""

    @property
    def isStored(self) -> bool:
        """True where it was simulated before."""

    def request(self) -> JobRequest:
        """Returns the job that simulates it."""

    def store(self, simulated: Any) -> None:
        """Writes the job's result."""


@dataclass(frozen=True)
class Sample:
    """A clip that can be simulated.

    Attributes:
        kind: "heart" or "liver".
        title: the clip's name in the scene.
        frameCount, seed: of the simulation.
        points: labels of the truth's points that begin so are placed as landmarks.
    """

    kind: str
    title: str
    frameCount: int
    seed: int
    points: str

    @property
    def folder(self) -> Path:
        """The folder in which it is stored."""
        return Path(slicer.app.cachePath) / f"{_FOLDER_PREFIX}{VERSION}"

    @property
    def isStored(self) -> bool:
        """True where it was simulated before."""
        return all(path.is_file() for path in self._files)

    @property
    def clipFile(self) -> Path:
        """The file of its clip, which **Load clip...** reads like any other."""
        return self.folder / f"{self.kind}.seq.nrrd"

    @property
    def _files(self) -> tuple[Path, Path]:
        return self.clipFile, self.folder / f"{self.kind}-truth.csv"

    def request(self) -> JobRequest:
        """Returns the job that simulates it."""
        return simulation_job(kind=self.kind, frame_count=self.frameCount, seed=self.seed)

    def store(self, simulated: SimulatedClip) -> None:
        """Writes its files, the clip last, so that a sample is either complete or absent."""
        self.folder.mkdir(parents=True, exist_ok=True)
        clip, truth = self._files
        write_tracks_csv(truth, simulated.truth)
        write_sequence(clip, simulated.sequence)

    def read(self) -> SimulatedClip:
        """Reads the stored sample; a damaged file is deleted, so that the next call simulates the sample again."""
        clip, truth = self._files
        try:
            sequence = read_sequence(clip)
            tracks = replace(read_tracks_csv(truth), query_frame=0, spacing_mm=sequence.spacing_mm, model="truth")
            return SimulatedClip(replace(sequence, name=self.title), tracks)
        except UltrasoundMotionError:
            clip.unlink(missing_ok=True)
            raise


LIVER = Sample("liver", _("Simulated liver"), 40, 1, "vessel")
HEART = Sample("heart", _("Simulated heart"), 50, 1, "mid")


def storedSampleBytes() -> int:
    """Returns the size of the samples in Slicer's cache folder, those of earlier versions among them."""
    return sum(file.stat().st_size for folder in _sampleFolders() for file in folder.iterdir())


def removeStoredSamples() -> int:
    """Deletes the stored samples and returns their size in bytes; they are simulated again when they are asked for.

    Samples that are in the scene stay there. From the Python console:

        from UltrasoundMotionModuleLib.shared.sample_data import removeStoredSamples

        removeStoredSamples()
    """
    size = storedSampleBytes()
    for folder in _sampleFolders():
        shutil.rmtree(folder)
    return size


def _sampleFolders() -> list[Path]:
    return [folder for folder in Path(slicer.app.cachePath).glob(f"{_FOLDER_PREFIX}*") if folder.is_dir()]


@dataclass(frozen=True)
class SampleNodes:
    """A sample in the scene.

    Attributes:
        clip: its sequence, proxy and browser.
        points: landmarks on frame 0.
    """

    clip: SequenceNodes
    points: slicer.vtkMRMLMarkupsFiducialNode


def loadSample(sample: Sample) -> SampleNodes:
    """Adds a sample to the scene; simulates it first where it is not stored, which takes about ten seconds."""
    if not sample.isStored:
        sample.store(run_job(sample.request(), sharedProcess().process))
    return addSample(sample)


def addSample(sample: Sample, simulated: SimulatedClip | None = None) -> SampleNodes:
    """Adds a stored sample to the scene: the clip upright in the red view on its first frame, and landmarks on
    it.

    Args:
        simulated: the sample, where it was read already.
    """
    scene, simulated = slicer.mrmlScene, simulated or sample.read()
    clip = add_image_sequence(scene, simulated.sequence)
    points = scene.AddNewNodeByClass(
        "vtkMRMLMarkupsFiducialNode", scene.GenerateUniqueName(_("{clip} points").format(clip=sample.title))
    )
    show_placed_points(points)
    truth = simulated.truth
    for label, position, visible in zip(
        truth.labels, pixels_to_ras_mm(simulated.sequence, truth.positions_px[0]), truth.visible[0], strict=True
    ):
        if visible and label.startswith(sample.points):
            points.AddControlPoint(*position, label)
    limit_labels(points)
    clip.browser.SetSelectedItemNumber(0)
    show_as_acquired(scene, clip.proxy)
    return SampleNodes(clip, points)


def registerSample(sample: Sample, thumbnail: str) -> None:
    """Offers a clip in the Sample Data module as well, where its button has the sample's title."""

    def load() -> slicer.vtkMRMLNode:
        clip = loadSample(sample).clip
        slicer.modules.sequences.showSequenceBrowser(clip.browser)
        return clip.proxy

    offerSample(sample.title, thumbnail, load)


def offerSample(title: str, thumbnail: str, loadNode: Callable[[], slicer.vtkMRMLNode]) -> None:
    """Adds a button to the Sample Data module.

    Args:
        title: text of the button.
        thumbnail: path of its picture.
        loadNode: loads the sample and returns its main node.
    """
    import SampleData

    def load(source: object) -> slicer.vtkMRMLNode:
        with slicer.util.tryWithErrorDisplay(_("The sample could not be loaded."), waitCursor=True):
            return loadNode()

    category = "UltrasoundMotion"
    logic = SampleData.SampleDataLogic
    if hasattr(logic, "registerCustomSampleDataCategory"):  # not in Slicer 5.10
        logic.registerCustomSampleDataCategory(category, title=category)
    logic.registerCustomSampleDataSource(
        category=category,
        sampleName=title,
        uris=[],  # nothing is downloaded; Slicer counts both lists
        fileNames=[],
        thumbnailFileName=thumbnail,
        customDownloader=load,
    )
