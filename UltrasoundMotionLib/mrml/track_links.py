"""Links between the nodes of one tracking result, as node references that a saved scene keeps."""

from __future__ import annotations

from collections.abc import Iterable

import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.node_removal import remove_node, remove_sequence
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes
from UltrasoundMotionLib.steps import Steps

_IMAGE_ROLE = "ultrasoundMotionImage"
_DERIVED_ROLE = "ultrasoundMotionDerived"


def link_results(image: SequenceNodes, landmarks: SequenceNodes, derived: Iterable[slicer.vtkMRMLNode] = ()) -> None:
    """Links a markups sequence to its clip and to the nodes derived from its tracks (paths, tables, chart)."""
    was_modifying = landmarks.sequence.StartModify()  # what the browser plays is updated once
    landmarks.sequence.SetNodeReferenceID(_IMAGE_ROLE, image.sequence.GetID())
    landmarks.sequence.RemoveNodeReferenceIDs(_DERIVED_ROLE)
    for node in derived:
        if node.GetScene() is not None:
            landmarks.sequence.AddNodeReferenceID(_DERIVED_ROLE, node.GetID())
    landmarks.sequence.EndModify(was_modifying)


def image_of(landmarks: SequenceNodes) -> SequenceNodes:
    """Returns the clip on which the markups were tracked.

    Raises:
        InputError: the markups do not come from a tracking run, or the clip is gone.
    """
    image = landmarks.sequence.GetNodeReference(_IMAGE_ROLE)
    if image is None:
        raise InputError(f"{landmarks.proxy.GetName()}: refers to no clip; choose landmarks that a tracking run made")
    return find_sequence_nodes(image)


def is_result(markups: slicer.vtkMRMLMarkupsNode) -> bool:
    """Returns True if a markups node plays the tracks of a run and its clip is still in the scene."""
    try:
        return find_sequence_nodes(markups).sequence.GetNodeReference(_IMAGE_ROLE) is not None
    except InputError:
        return False


def derived_nodes(landmarks: SequenceNodes, class_name: str = "vtkMRMLNode") -> list[slicer.vtkMRMLNode]:
    """Returns the nodes of a class that were derived from the tracks and are still in the scene."""
    count = landmarks.sequence.GetNumberOfNodeReferences(_DERIVED_ROLE)
    nodes = [landmarks.sequence.GetNthNodeReference(_DERIVED_ROLE, number) for number in range(count)]
    return [node for node in nodes if node is not None and node.IsA(class_name)]


def removing_derived(landmarks: SequenceNodes) -> Steps[None]:
    """Removes paths, tables and plot from the scene; the markups stay."""
    nodes = derived_nodes(landmarks)
    for done, node in enumerate(nodes):
        yield done, len(nodes), "removing the last result"
        remove_node(node)
    landmarks.sequence.RemoveNodeReferenceIDs(_DERIVED_ROLE)


def removing_results(landmarks: SequenceNodes) -> Steps[None]:
    """Removes a whole result from the scene; clip and browser stay."""
    yield from removing_derived(landmarks)
    yield 0, 1, "removing the last result"
    remove_sequence(landmarks)
