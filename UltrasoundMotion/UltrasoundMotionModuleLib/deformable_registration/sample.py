"""Two moments of a simulated heart, to register: as volumes with segmentations, or as one slice of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.errors import UltrasoundMotionError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import read_volume, write_volume
from UltrasoundMotionLib.jobs import JobRequest, run_job
from UltrasoundMotionLib.jobs.capabilities.simulate_pair import PARTS, pair_simulation_job
from UltrasoundMotionLib.mrml.image_geometry import SLICE_THICKNESS_MM
from UltrasoundMotionLib.mrml.views import show_over
from UltrasoundMotionLib.mrml.volume_nodes import add_volume, fill_segmentation
from UltrasoundMotionLib.simulation.short_axis_heart import LV, MYOCARDIUM, RV, ShortAxisHeart, ShortAxisPair
from UltrasoundMotionModuleLib.shared.background_job import sharedProcess
from UltrasoundMotionModuleLib.shared.sample_data import HEART

_LABEL_NAMES = {RV: _("right ventricle"), MYOCARDIUM: _("myocardium"), LV: _("left ventricle")}


@dataclass(frozen=True)
class VolumeSample:
    """Two volumes that can be simulated, with their labels.

    Attributes:
        name: of its files.
        title: text of its button in Sample Data.
        heart, seed: of the simulation.
    """

    name: str
    title: str
    heart: ShortAxisHeart
    seed: int

    @property
    def isStored(self) -> bool:
        """True where it was simulated before."""
        return all(path.is_file() for path in self._files.values())

    @property
    def _files(self) -> dict[str, Path]:
        return {part: HEART.folder / f"{self.name}-{part.replace('_', '-')}.nrrd" for part in PARTS}

    def request(self) -> JobRequest:
        """Returns the job that simulates it."""
        return pair_simulation_job(self.heart, self.seed)

    def store(self, simulated: ShortAxisPair) -> None:
        """Writes its files."""
        HEART.folder.mkdir(parents=True, exist_ok=True)
        for part, path in self._files.items():
            write_volume(path, getattr(simulated, part))

    def read(self) -> ShortAxisPair:
        """Reads the stored sample; damaged files are deleted, so that the next call simulates the sample again."""
        try:
            return ShortAxisPair(**{part: read_volume(path) for part, path in self._files.items()})
        except UltrasoundMotionError:
            for path in self._files.values():
                path.unlink(missing_ok=True)
            raise


HEART_VOLUMES = VolumeSample("heart-volumes", _("Simulated heart, two moments"), ShortAxisHeart(), 1)


@dataclass(frozen=True, eq=False)
class SampleVolumes:
    """The volumes in the scene, and what is known of them.

    Attributes:
        fixed, moving: end-diastole and end-systole.
        fixedSegmentation, movingSegmentation: right ventricle, myocardium and left ventricle in each.
    """

    fixed: slicer.vtkMRMLScalarVolumeNode
    moving: slicer.vtkMRMLScalarVolumeNode
    fixedSegmentation: slicer.vtkMRMLSegmentationNode
    movingSegmentation: slicer.vtkMRMLSegmentationNode


def addSampleVolumes(sample: VolumeSample) -> SampleVolumes:
    """Adds the stored volumes with their segmentations, outlined, and shows one over the other."""
    scene, pair = slicer.mrmlScene, sample.read()
    images, segmentations = [], []
    for image, labels, name in (
        (pair.fixed, pair.fixed_labels, _("Simulated heart, end-diastole")),
        (pair.moving, pair.moving_labels, _("Simulated heart, end-systole")),
    ):
        images.append(add_volume(scene, image, name))
        title = _("{image}, segmentation").format(image=name)
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(title))
        segmentations.append(fill_segmentation(node, labels, images[-1], names=_LABEL_NAMES, filled=False))
    show_over(*images)
    return SampleVolumes(*images, *segmentations)


def loadSampleVolumes(sample: VolumeSample) -> SampleVolumes:
    """Adds the volumes; simulates them first where they are not stored, which takes about ten seconds."""
    if not sample.isStored:
        sample.store(run_job(sample.request(), sharedProcess().process))
    return addSampleVolumes(sample)


@dataclass(frozen=True, eq=False)
class SamplePair:
    """The slices in the scene, and the truth.

    Attributes:
        fixed, moving: end-diastole and end-systole.
        fixed_points_mm, moving_points_mm: (N, 3) LPS; the same tissue in both.
    """

    fixed: slicer.vtkMRMLScalarVolumeNode
    moving: slicer.vtkMRMLScalarVolumeNode
    fixed_points_mm: np.ndarray
    moving_points_mm: np.ndarray


def addSamplePair() -> SamplePair:
    """Adds two slices of the stored clip; end-systole is the frame on which its points have moved farthest."""
    simulated = HEART.read()
    sequence, truth = simulated.sequence, simulated.truth
    systole = int(np.argmax(np.linalg.norm(truth.positions_px - truth.positions_px[0], axis=2).mean(axis=1)))
    nodes = []
    for frame, name in ((0, _("Simulated end-diastole")), (systole, _("Simulated end-systole"))):
        pixels = np.asarray(sequence.frame(frame))[None]
        volume = Volume(
            pixels, (*sequence.spacing_mm, SLICE_THICKNESS_MM), sequence.origin_mm, sequence.direction, name
        )
        nodes.append(add_volume(slicer.mrmlScene, volume, name))
    show_over(*nodes)
    fixed, moving = (sequence.pixels_to_lps_mm(truth.positions_px[frame]) for frame in (0, systole))
    return SamplePair(*nodes, fixed, moving)


def loadSamplePair() -> SamplePair:
    """Adds the slices; simulates the clip first where it is not stored, which takes about ten seconds."""
    if not HEART.isStored:
        HEART.store(run_job(HEART.request(), sharedProcess().process))
    return addSamplePair()
