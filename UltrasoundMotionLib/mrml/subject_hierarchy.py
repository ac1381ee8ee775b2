"""Where nodes stand in the tree of Slicer's Data module."""

from __future__ import annotations

from collections.abc import Iterable

import slicer


def put_in_folder(
    scene: slicer.vtkMRMLScene, beside: slicer.vtkMRMLNode, nodes: Iterable[slicer.vtkMRMLNode], folder_name: str
) -> int:
    """Puts nodes into a folder beside the input (under the same patient and study) and returns the folder's item.

    The application makes an item for each node by itself; outside it they are made here. A folder of that name in that
    place is used again.
    """
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    none = tree.GetInvalidItemID()
    beside_item = tree.GetItemByDataNode(beside)
    parent = tree.GetItemParent(beside_item) if beside_item != none else none
    if parent == none:
        parent = tree.GetSceneItemID()
    if beside_item == none:
        tree.CreateItem(parent, beside)
    folder = tree.GetItemChildWithName(parent, folder_name)
    if folder == none:
        folder = tree.CreateFolderItem(parent, folder_name)
        tree.SetItemExpanded(folder, True)
    for node in nodes:
        tree.CreateItem(folder, node)  # of a node that has an item, this moves it
    return folder


def forget_item(node: slicer.vtkMRMLNode) -> None:
    """Removes a node's item from the tree, and the folder that held it if that is now empty (the application does the
    first by itself).
    """
    tree = node.GetScene().GetFirstNodeByClass(
        "vtkMRMLSubjectHierarchyNode"
    )  # asking for the hierarchy itself would make one
    item = tree.GetItemByDataNode(node) if tree is not None else 0
    if not item:
        return
    parent = tree.GetItemParent(item)
    tree.RemoveItem(item, False, False)
    if (
        parent != tree.GetSceneItemID()
        and tree.IsItemLevel(parent, "Folder")
        and tree.GetNumberOfItemChildren(parent) == 0
    ):
        tree.RemoveItem(parent, False, False)
