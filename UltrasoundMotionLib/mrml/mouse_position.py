"""The place in a clip under the mouse."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS, ras_mm_to_pixels
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes

_FARTHEST_FROM_PLANE_MM = 5.0
"""Farther than this, the mouse is over a view that shows something else."""


def mouse_position_px(image: SequenceNodes, sequence: ImageSequence) -> tuple[float, float] | None:
    """Returns where the mouse points in the image, (x, y) in pixels; None where it is over no view of the image.

    Slicer keeps the position of the mouse in the crosshair node.
    """
    crosshair = image.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")
    world = [0.0, 0.0, 0.0]
    if crosshair is None or not crosshair.GetCursorPositionRAS(world):
        return None
    to_image = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, image.proxy.GetParentTransformNode(), to_image)
    position = np.array(to_image.TransformPoint(world))
    distance = float((position * LPS_TO_RAS - np.asarray(sequence.origin_mm)) @ sequence.direction[:, 2])
    x, y = ras_mm_to_pixels(sequence, position).tolist()
    width, height = sequence.frame_size
    inside = -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5
    return (x, y) if inside and abs(distance) <= _FARTHEST_FROM_PLANE_MM else None
