"""Motions with exactly known maps, and objects drawn on a frame, for the tests of carrying along."""

import numpy as np
import slicer
import vtk

from mrml_clips import OBLIQUE
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.displacement_transforms import DisplacementGrid, add_displacement_sequence
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.object_motion import TransformsTake
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceIndex, create_browser, create_sequence
from UltrasoundMotionLib.mrml.volume_nodes import add_volume, fill_segmentation

GROWTH = (1.0, 1.1, 1.25, 1.15, 0.9)
"""Scale of every length on each frame, about `CENTRE_MM` (LPS)."""

CENTRE_MM = np.array([5.0, -12.0, 8.0])
STEP_S = 0.05


def growing_clip(scene, direction=OBLIQUE):
    """A one-slice clip of 64 x 56 pixels around the centre."""
    frames = np.random.default_rng(0).integers(0, 255, (len(GROWTH), 56, 64)).astype(np.uint8)
    spacing = (0.5, 0.6)
    origin = CENTRE_MM - direction[:, :2] @ (np.array([31.5, 27.5]) * spacing)
    sequence = ImageSequence(
        frames, spacing, STEP_S * np.arange(len(GROWTH)), origin_mm=tuple(origin), direction=direction, name="clip"
    )
    return add_image_sequence(scene, sequence), sequence


def growing_plane(scene, reference=0, direction=OBLIQUE):
    """A clip and its motion: every length in the plane grows as `GROWTH` says, from the reference frame."""
    image, sequence = growing_clip(scene, direction)
    width, height = sequence.frame_size
    x, y = np.meshgrid(np.arange(0, width + 4, 4.0), np.arange(0, height + 4, 4.0))
    from_centre = np.stack([x - 31.5, y - 27.5], axis=-1)

    def field_of(frame):
        return DisplacementGrid.of_slice(sequence, (GROWTH[frame] / GROWTH[reference] - 1) * from_centre, 4.0)

    return image, sequence, add_displacement_sequence(image, field_of, "motion")


def bending_volume(scene, *, amplitude_mm=2.0, size=(28, 30, 32), spacing=2.0):
    """A sequence of volumes and a smooth motion that bends, at rest on frame 0: (image, motion)."""
    count = len(GROWTH)
    volume = Volume(np.zeros(size[::-1], dtype=np.float32), (spacing,) * 3, tuple(CENTRE_MM - 30.0), np.eye(3), "beat")
    index = SequenceIndex(
        "time", "s", slicer.vtkMRMLSequenceNode.NumericIndex, tuple(str(STEP_S * t) for t in range(count))
    )
    node = create_sequence(scene, "beat sequence", index)
    proxy = add_volume(scene, volume, "beat")
    for value in index.values:
        node.SetDataNodeAtValue(proxy, value)
    image = create_browser(scene, "beat browser", node, proxy, 20.0)
    axes = np.meshgrid(*[np.linspace(0, 2 * np.pi, length) for length in size[::-1]], indexing="ij")
    shape = np.stack([np.sin(axes[1]) + 0.3, np.cos(axes[0]) * 0.8, np.sin(axes[2] + 0.5)], axis=-1)

    def field_of(frame):
        return DisplacementGrid(amplitude_mm * np.sin(frame) * shape, (spacing,) * 3, volume.origin_mm, np.eye(3))

    return image, add_displacement_sequence(image, field_of, "motion")


def ball(radius_mm, spacing_mm=1.0, margin_mm=6.0, centre_mm=CENTRE_MM):
    """A label map with a ball of 1 around the centre."""
    reach = int(np.ceil((radius_mm + margin_mm) / spacing_mm))
    ticks = np.arange(-reach, reach + 1) * spacing_mm
    z, y, x = np.meshgrid(ticks, ticks, ticks, indexing="ij")
    labels = (x**2 + y**2 + z**2 <= radius_mm**2).astype(np.int16)
    return Volume(labels, (spacing_mm,) * 3, tuple(np.asarray(centre_mm) - reach * spacing_mm), np.eye(3), "ball")


def disc_segmentation(scene, image, sequence, radius_mm=8.0):
    """A segmentation of two segments on the clip's slice: a disc of 1, within a ring of 2."""
    width, height = sequence.frame_size
    x, y = np.meshgrid(np.arange(width) - 31.5, np.arange(height) - 27.5)
    distance = np.hypot(x * sequence.spacing_mm[0], y * sequence.spacing_mm[1])
    labels = np.where(distance <= radius_mm / 2, 1, np.where(distance <= radius_mm, 2, 0)).astype(np.int16)
    volume = Volume(labels[None], (*sequence.spacing_mm, 1.0), sequence.origin_mm, sequence.direction, "disc")
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "heart")
    return fill_segmentation(
        node, volume, image.proxy, names={1: "cavity", 2: "wall"}, colors={1: (0.9, 0.1, 0.2), 2: (0.1, 0.7, 0.3)}
    )


def ball_segmentation(scene, image_proxy, radius_mm=12.0, spacing_mm=1.0, name="ball"):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    return fill_segmentation(node, ball(radius_mm, spacing_mm), image_proxy, names={1: "ball"})


def sphere_model(scene, radius_mm=10.0, name="sphere"):
    source = vtk.vtkSphereSource()
    source.SetRadius(radius_mm)
    source.SetCenter(*(CENTRE_MM * LPS_TO_RAS))
    source.SetThetaResolution(60)
    source.SetPhiResolution(60)
    source.Update()
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", name)
    node.SetAndObservePolyData(source.GetOutput())
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetColor(0.2, 0.4, 0.9)
    return node


def markups(scene, class_name, points_lps, name="markups"):
    node = scene.AddNewNodeByClass(class_name, name)
    node.CreateDefaultDisplayNodes()
    for number, point in enumerate(np.asarray(points_lps) * LPS_TO_RAS):
        node.AddControlPoint(*point, f"M{number}")
    return node


def positions_lps(node):
    return (
        np.array([node.GetNthControlPointPosition(control) for control in range(node.GetNumberOfControlPoints())])
        * LPS_TO_RAS
    )


def hardened(node, motion, source, target, take=TransformsTake.REFERENCE_TO_FRAMES):
    """A copy of a node that Slicer itself has put through the items of two frames, one above the other, and hardened
    once.
    """
    scene = node.GetScene()
    copy = scene.AddNewNodeByClass(node.GetClassName(), "hardened")
    copy.CopyContent(node, True)
    under, steps = copy, []
    for frame, inverted in ((source, True), (target, False)):
        transform = scene.AddNewNodeByClass("vtkMRMLTransformNode", "step")
        transform.CopyContent(motion.sequence.GetNthDataNode(frame), True)
        if inverted is (take is TransformsTake.REFERENCE_TO_FRAMES):
            transform.Inverse()
        under.SetAndObserveTransformNodeID(transform.GetID())
        under = transform
        steps.append(transform)
    assert slicer.vtkSlicerTransformLogic().hardenTransform(copy)
    for transform in steps:
        scene.RemoveNode(transform)
    return copy
