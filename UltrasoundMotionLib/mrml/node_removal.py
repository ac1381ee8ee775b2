"""Removal of results from a scene, with everything that belongs to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer
from vtkmodules.util.misc import calldata_type
from vtkmodules.util.vtkConstants import VTK_OBJECT

from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, browsers_of
from UltrasoundMotionLib.mrml.subject_hierarchy import forget_item
from UltrasoundMotionLib.steps import Result, Steps


def remove_node(node: slicer.vtkMRMLNode) -> None:
    """Removes a node with its display and storage nodes, its item in the Data module and its entries in browsers.

    Does nothing to a node that is in no scene.
    """
    scene = node.GetScene()
    if scene is None:
        return
    forget_item(node)
    if node.IsA("vtkMRMLSequenceNode"):
        for browser in browsers_of(node):
            browser.RemoveSynchronizedSequenceNode(node.GetID())
    if node.IsA("vtkMRMLDisplayableNode"):
        displays = [node.GetNthDisplayNode(number) for number in range(node.GetNumberOfDisplayNodes())]
        # The last first: a colour legend reports an error when its primary display node is removed before it.
        for display in reversed(displays):
            if display is not None:
                scene.RemoveNode(display)
    if node.IsA("vtkMRMLStorableNode") and node.GetStorageNode() is not None:
        scene.RemoveNode(node.GetStorageNode())
    scene.RemoveNode(node)


def remove_sequence(nodes: SequenceNodes) -> None:
    """Removes a sequence and its proxy, and the browser when it plays no other sequence."""
    remove_node(nodes.sequence)
    remove_node(nodes.proxy)
    if nodes.browser.GetScene() is not None and nodes.browser.GetNumberOfSynchronizedSequenceNodes(True) == 0:
        remove_node(nodes.browser)


@contextmanager
def undone_on_error(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Removes the nodes that the block added to the scene if the block raises (also when cancelled)."""
    before = _node_ids(scene)
    try:
        yield
    except BaseException:
        _remove_added(scene, [node_id for node_id in _node_ids(scene) if node_id not in before])
        raise


def undone_unless_finished(scene: slicer.vtkMRMLScene, steps: Steps[Result]) -> Steps[Result]:
    """Runs steps, and removes the nodes that they added if they raise or are cancelled.

    Nodes that the user or another module adds between the steps stay.
    """
    added: list[str] = []
    try:
        while True:
            with _recorded(scene, added):
                progress = next(steps)
            yield progress
    except StopIteration as finished:
        return finished.value
    except BaseException:
        steps.close()
        if not scene.IsClosing():
            _remove_added(scene, added)
        raise


@contextmanager
def _recorded(scene: slicer.vtkMRMLScene, added: list[str]) -> Iterator[None]:
    """Appends the ids of the nodes that the block adds."""

    @calldata_type(VTK_OBJECT)
    def record(_scene: object, _event: str, node: slicer.vtkMRMLNode) -> None:
        added.append(node.GetID())

    tag = scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, record)
    try:
        yield
    finally:
        scene.RemoveObserver(tag)


def _remove_added(scene: slicer.vtkMRMLScene, node_ids: list[str]) -> None:
    present = [node for node in map(scene.GetNodeByID, node_ids) if node is not None]
    # Sequences first: a browser makes a new proxy for a sequence that has lost its own.
    for node in sorted(present, key=lambda node: not node.IsA("vtkMRMLSequenceNode")):
        if not node.IsA("vtkMRMLSubjectHierarchyNode"):
            remove_node(node)


def _node_ids(scene: slicer.vtkMRMLScene) -> dict[str, None]:
    """Returns the ids of all nodes, in the scene's order."""
    return dict.fromkeys(scene.GetNthNode(number).GetID() for number in range(scene.GetNumberOfNodes()))
