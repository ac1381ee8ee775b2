"""Taking results out of a scene, with everything that came with them."""

from __future__ import annotations

import slicer

from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.subject_hierarchy import forget_item


def remove_node(node: slicer.vtkMRMLNode) -> None:
    """Removes a node with its display and storage nodes and its place in the Data module, which the scene would keep."""
    scene = node.GetScene()
    if scene is None:
        return
    forget_item(node)
    if node.IsA("vtkMRMLDisplayableNode"):
        for display in [node.GetNthDisplayNode(number) for number in range(node.GetNumberOfDisplayNodes())]:
            if display is not None:
                scene.RemoveNode(display)
    if node.IsA("vtkMRMLStorableNode") and node.GetStorageNode() is not None:
        scene.RemoveNode(node.GetStorageNode())
    scene.RemoveNode(node)


def remove_sequence(nodes: SequenceNodes) -> None:
    """Removes a sequence and its proxy; the browser stays for the others that it plays, and goes with the last."""
    browser = nodes.browser
    if browser.GetScene() is not None:
        browser.RemoveSynchronizedSequenceNode(nodes.sequence.GetID())
    remove_node(nodes.proxy)
    remove_node(nodes.sequence)
    if browser.GetScene() is not None and browser.GetNumberOfSynchronizedSequenceNodes(True) == 0:
        remove_node(browser)
