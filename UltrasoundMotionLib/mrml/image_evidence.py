"""The evidence that a node gives of the kind of its image."""

from __future__ import annotations

import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.sequence_nodes import find_sequence_nodes
from UltrasoundMotionLib.mrml.volume_nodes import volume_from_node
from UltrasoundMotionLib.registration.image_kind import ImageEvidence


def evidence_of_node(node: slicer.vtkMRMLVolumeNode, labels: slicer.vtkMRMLNode | None = None) -> ImageEvidence:
    """Returns the image of a node with what else the scene knows of it.

    Args:
        labels: its segmentation or label map.

    Raises:
        InputError: the node holds no image.
    """
    return ImageEvidence(
        volume_from_node(node),
        frame_count=_frame_count(node),
        modality=_modality(node),
        names=(node.GetName(),),
        labels=_label_values(labels),
    )


def _frame_count(node: slicer.vtkMRMLVolumeNode) -> int:
    try:
        return find_sequence_nodes(node).sequence.GetNumberOfDataNodes()
    except InputError:
        return 1


def _modality(node: slicer.vtkMRMLVolumeNode) -> str:
    """DICOM's modality, which Slicer keeps in the subject hierarchy; empty where it is not known."""
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(node.GetScene())
    item = tree.GetItemByDataNode(node)
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    return tree.GetItemAttribute(item, name) if item else ""


def _label_values(labels: slicer.vtkMRMLNode | None) -> tuple[int, ...]:
    if labels is None:
        return ()
    if labels.IsA("vtkMRMLSegmentationNode"):
        segmentation = labels.GetSegmentation()
        return tuple(
            segmentation.GetNthSegment(number).GetLabelValue() for number in range(segmentation.GetNumberOfSegments())
        )
    image = labels.GetImageData()
    return tuple(range(1, int(image.GetScalarRange()[1]) + 1)) if image is not None else ()
