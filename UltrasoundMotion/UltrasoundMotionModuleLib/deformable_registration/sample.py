"""Two moments of the simulated heart, to register: its end-diastole and its end-systole as one slice each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.jobs import run_job
from UltrasoundMotionLib.mrml.image_geometry import SLICE_THICKNESS_MM
from UltrasoundMotionLib.mrml.views import show_over
from UltrasoundMotionLib.mrml.volume_nodes import add_volume
from UltrasoundMotionModuleLib.shared.background_job import sharedProcess
from UltrasoundMotionModuleLib.shared.sample_data import HEART


@dataclass(frozen=True, eq=False)
class SamplePair:
    """The pair in the scene, and the truth.

    Attributes:
        fixed, moving: end-diastole and end-systole.
        fixed_points_mm, moving_points_mm: (N, 3) LPS; the same tissue in both.
    """

    fixed: slicer.vtkMRMLScalarVolumeNode
    moving: slicer.vtkMRMLScalarVolumeNode
    fixed_points_mm: np.ndarray
    moving_points_mm: np.ndarray


def addSamplePair() -> SamplePair:
    """Adds the pair from the stored heart sample; end-systole is the frame on which its points have moved farthest."""
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
    """Adds the pair; simulates the heart first where it is not stored, which takes about ten seconds."""
    if not HEART.isStored:
        HEART.store(run_job(HEART.request(), sharedProcess().process))
    return addSamplePair()
