"""The simulated heart with three clicks (hinge, apex, hinge) on its end-diastole."""

from __future__ import annotations

from dataclasses import dataclass

import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.jobs import run_job
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.node_removal import remove_node
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.wall_contour_nodes import add_clicks
from UltrasoundMotionModuleLib.shared.background_job import sharedProcess
from UltrasoundMotionModuleLib.shared.sample_data import HEART, addSample


@dataclass(frozen=True)
class HeartNodes:
    """The sample in the scene.

    Attributes:
        clip: its sequence, proxy and browser.
        clicks: hinge, apex and hinge on frame 0.
    """

    clip: SequenceNodes
    clicks: slicer.vtkMRMLMarkupsFiducialNode


def addHeart() -> HeartNodes:
    """Adds the stored heart sample."""
    simulated = HEART.read()
    nodes = addSample(HEART, simulated)
    remove_node(nodes.points)
    middle = [number for number, label in enumerate(simulated.truth.labels) if label.startswith(HEART.points)]
    places = simulated.truth.positions_px[0, [middle[0], middle[len(middle) // 2], middle[-1]]]
    clicks = add_clicks(slicer.mrmlScene, _("{clip} hinges and apex").format(clip=HEART.title))
    for control, position in enumerate(pixels_to_ras_mm(simulated.sequence, places)):
        clicks.SetNthControlPointPosition(control, *position)
    return HeartNodes(nodes.clip, clicks)


def loadHeart() -> HeartNodes:
    """Adds the heart sample; simulates it first where it is not stored, which takes about ten seconds."""
    if not HEART.isStored:
        HEART.store(run_job(HEART.request(), sharedProcess().process))
    return addHeart()
