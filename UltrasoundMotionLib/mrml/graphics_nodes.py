"""The pixels of a clip that are filled before tracking, as a label map over the clip."""

from __future__ import annotations

import numpy as np
import slicer

from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.image_nodes import image_sequence_from_node
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.volume_nodes import add_label_map

_SHOWN_OF = "UltrasoundMotion.GraphicsOf"
_OPACITY = 0.6


def show_graphics(image: SequenceNodes, mask: np.ndarray) -> slicer.vtkMRMLLabelMapVolumeNode:
    """Adds a mask (H, W) as a label map, in the slice views that show the clip; replaces one that is there.

    It is not saved with the scene.
    """
    hide_graphics(image)
    clip = image_sequence_from_node(image.sequence)
    spacing = (*(clip.spacing_mm or (1.0, 1.0)), 1.0)
    volume = Volume(mask[None].astype(np.int16), spacing, clip.origin_mm, clip.direction)
    node = add_label_map(image.scene, volume, f"{image.proxy.GetName()} graphics")
    node.SetAttribute(_SHOWN_OF, image.sequence.GetID())
    node.SetSaveWithScene(False)
    node.SetAndObserveTransformNodeID(image.proxy.GetTransformNodeID())
    for composite in nodes_of_class(image.scene, "vtkMRMLSliceCompositeNode"):
        if composite.GetBackgroundVolumeID() == image.proxy.GetID():
            composite.SetLabelVolumeID(node.GetID())
            composite.SetLabelOpacity(_OPACITY)
    return node


def shown_graphics(image: SequenceNodes) -> slicer.vtkMRMLLabelMapVolumeNode | None:
    """Returns the label map of a clip's graphics, or None where it is not shown."""
    for node in nodes_of_class(image.scene, "vtkMRMLLabelMapVolumeNode"):
        if node.GetAttribute(_SHOWN_OF) == image.sequence.GetID():
            return node
    return None


def hide_graphics(image: SequenceNodes) -> None:
    """Removes the label map of a clip's graphics, where it is shown."""
    node = shown_graphics(image)
    if node is None:
        return
    for composite in nodes_of_class(image.scene, "vtkMRMLSliceCompositeNode"):
        if composite.GetLabelVolumeID() == node.GetID():
            composite.SetLabelVolumeID(None)
    image.scene.RemoveNode(node)
