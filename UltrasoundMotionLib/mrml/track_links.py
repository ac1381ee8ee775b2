"""What belongs together of one tracking result, kept as node references: it is found again in a saved scene, and
replaced as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable

import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.node_removal import remove_node, remove_sequence
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes

IMAGE_ROLE = "ultrasoundMotionImage"
DERIVED_ROLE = "ultrasoundMotionDerived"


def link_results(image: SequenceNodes, landmarks: SequenceNodes, derived: Iterable[slicer.vtkMRMLNode] = ()) -> None:
    """Lets the markups' sequence node refer to its clip and to what was made from the tracks (paths, tables, chart)."""
    landmarks.sequence.SetNodeReferenceID(IMAGE_ROLE, image.sequence.GetID())
    landmarks.sequence.RemoveNodeReferenceIDs(DERIVED_ROLE)
    for node in derived:
        landmarks.sequence.AddNodeReferenceID(DERIVED_ROLE, node.GetID())


def image_of(landmarks: SequenceNodes) -> SequenceNodes:
    """The clip on which the markups were tracked.

    Raises:
        InputError: the markups do not come from a tracking run, or the clip is gone.
    """
    image = landmarks.sequence.GetNodeReference(IMAGE_ROLE)
    if image is None:
        raise InputError(f"{landmarks.proxy.GetName()}: refers to no clip; choose landmarks that a tracking run made")
    return find_sequence_nodes(image)


def is_result(markups: slicer.vtkMRMLMarkupsNode) -> bool:
    """Whether a markups node plays tracks that a run made (and its clip is still there)."""
    try:
        return find_sequence_nodes(markups).sequence.GetNodeReference(IMAGE_ROLE) is not None
    except InputError:
        return False


def derived_nodes(landmarks: SequenceNodes, class_name: str = "vtkMRMLNode") -> list[slicer.vtkMRMLNode]:
    """What was made from the tracks and is still there, of a class."""
    count = landmarks.sequence.GetNumberOfNodeReferences(DERIVED_ROLE)
    nodes = [landmarks.sequence.GetNthNodeReference(DERIVED_ROLE, number) for number in range(count)]
    return [node for node in nodes if node is not None and node.IsA(class_name)]


def remove_derived(landmarks: SequenceNodes) -> None:
    """Takes paths, tables and plot out of the scene; the markups stay."""
    for node in derived_nodes(landmarks):
        remove_node(node)
    landmarks.sequence.RemoveNodeReferenceIDs(DERIVED_ROLE)


def remove_results(landmarks: SequenceNodes) -> None:
    """Takes a whole result out of the scene; the clip and its browser stay."""
    remove_derived(landmarks)
    remove_sequence(landmarks)
