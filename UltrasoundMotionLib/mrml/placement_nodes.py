"""A clip under the transform, or the sequence of transforms, that places it in the space of a volume."""

from __future__ import annotations

import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import to_vtk_matrix
from UltrasoundMotionLib.mrml.node_removal import undone_on_error
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, join_browser
from UltrasoundMotionLib.mrml.subject_hierarchy import put_in_folder
from UltrasoundMotionLib.mrml.views import FOREGROUND_OPACITY, show_as_acquired, view_node
from UltrasoundMotionLib.placement.placement import Placement


def add_placement(
    image: SequenceNodes, sequence: ImageSequence, placement: Placement, name: str
) -> slicer.vtkMRMLLinearTransformNode:
    """Puts a clip under a new transform, which plays with it where frames lie at different places.

    Points and curves that are added to the clip afterwards follow it.

    Raises:
        InputError: the placement has another number of frames than the clip, or frames without a place, which Slicer
            would show where the one before lies.
    """
    index = image.index
    if len(index.values) != len(placement.pixel_to_ras):
        raise InputError(f"{name}: a placement of {len(placement.pixel_to_ras)} frames for {len(index.values)}")
    if not placement.placed.all():
        missing = int((~placement.placed).sum())
        raise InputError(f"{name}: {missing} frames have no place, and a scene would show them at a wrong one")
    matrices = placement.clip_to_volume(sequence)
    scene = image.scene
    with undone_on_error(scene):
        node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", scene.GenerateUniqueName(name))
        node.SetMatrixTransformToParent(to_vtk_matrix(matrices[0]))
        if placement.moving:
            items = slicer.vtkMRMLSequenceNode()
            index.apply(items)
            for value, matrix in zip(index.values, matrices, strict=True):
                item = slicer.vtkMRMLLinearTransformNode()
                item.SetName(name)
                item.SetMatrixTransformToParent(to_vtk_matrix(matrix))
                items.SetDataNodeAtValue(item, value)
            items.SetName(scene.GenerateUniqueName(f"{name} sequence"))
            scene.AddNode(items)
            join_browser(image.browser, items, node, editable=False)
        image.proxy.SetAndObserveTransformNodeID(node.GetID())
        put_in_folder(scene, image.proxy, (node,), f"{image.proxy.GetName()} motion")
    return node


def show_in_volume(
    volume: slicer.vtkMRMLVolumeNode, clip: slicer.vtkMRMLVolumeNode, view_name: str = "Red"
) -> slicer.vtkMRMLSliceNode:
    """Shows a slice view at the plane of a placed clip: the volume there, the frame over it, and both in 3D views."""
    scene = volume.GetScene()
    node = show_as_acquired(scene, clip, view_name)
    composite = view_node(scene, "vtkMRMLSliceCompositeNode", view_name)
    composite.SetBackgroundVolumeID(volume.GetID())
    composite.SetForegroundVolumeID(clip.GetID())
    composite.SetForegroundOpacity(FOREGROUND_OPACITY)
    return node
