"""The simulated heart with a segmentation drawn on its end-diastole, and points of its wall that are followed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
from slicer.i18n import tr as _

from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.jobs import run_job
from UltrasoundMotionLib.mrml.image_geometry import SLICE_THICKNESS_MM
from UltrasoundMotionLib.mrml.node_removal import remove_node
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.track_nodes import add_landmarks
from UltrasoundMotionLib.mrml.volume_nodes import fill_segmentation
from UltrasoundMotionLib.propagation.polygon import inside_polygon
from UltrasoundMotionLib.tracking import PointTracks
from UltrasoundMotionModuleLib.shared.background_job import sharedProcess
from UltrasoundMotionModuleLib.shared.sample_data import HEART, addSample

_EVERY = 6
"""One in so many points along each border of the wall is followed."""


@dataclass(frozen=True)
class PropagationSample:
    """The sample in the scene.

    Attributes:
        clip: its sequence, proxy and browser.
        motion: points of the wall, where they truly are on each frame.
        segmentation: cavity and wall as drawn on frame 0.
    """

    clip: SequenceNodes
    motion: SequenceNodes
    segmentation: slicer.vtkMRMLSegmentationNode


def addPropagationSample() -> PropagationSample:
    """Adds the stored heart sample."""
    simulated = HEART.read()
    nodes = addSample(HEART, simulated)
    remove_node(nodes.points)
    sequence, truth = simulated.sequence, simulated.truth
    borders = [
        [number for number, label in enumerate(truth.labels) if label.startswith(name)] for name in ("endo", "epi")
    ]
    followed = [number for numbers in borders for number in (*numbers[:-1:_EVERY], numbers[-1])]
    motion = add_landmarks(
        nodes.clip, sequence, _some(truth, followed), name=_("{clip} wall points").format(clip=HEART.title)
    )
    motion.proxy.GetDisplayNode().SetPointLabelsVisibility(False)  # the drawing is to be seen
    inner, outer = (truth.positions_px[0, numbers] for numbers in borders)
    width, height = sequence.frame_size
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2)
    labels = np.zeros((height, width), dtype=np.int16)
    labels[inside_polygon(pixels, np.vstack([inner, outer[::-1]])).reshape(height, width)] = 2
    labels[inside_polygon(pixels, inner).reshape(height, width)] = 1
    volume = Volume(
        labels[None], (*sequence.spacing_mm, SLICE_THICKNESS_MM), sequence.origin_mm, sequence.direction, "labels"
    )
    scene = slicer.mrmlScene
    name = scene.GenerateUniqueName(_("{clip} segmentation").format(clip=HEART.title))
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    names = {1: _("cavity"), 2: _("wall")}
    colors = {1: (0.9, 0.2, 0.2), 2: (0.2, 0.7, 0.3)}
    fill_segmentation(segmentation, volume, nodes.clip.proxy, names=names, colors=colors)
    segmentation.GetDisplayNode().SetOpacity2DFill(0.35)
    return PropagationSample(nodes.clip, motion, segmentation)


def loadPropagationSample() -> PropagationSample:
    """Adds the heart sample; simulates it first where it is not stored, which takes about ten seconds."""
    if not HEART.isStored:
        HEART.store(run_job(HEART.request(), sharedProcess().process))
    return addPropagationSample()


def _some(tracks: PointTracks, points: list[int]) -> PointTracks:
    return PointTracks(
        tracks.positions_px[:, points],
        tracks.confidence[:, points],
        tracks.visible[:, points],
        tuple(tracks.labels[point] for point in points),
        tracks.query_frame,
        tracks.times_s,
        tracks.spacing_mm,
        tracks.model,
    )
