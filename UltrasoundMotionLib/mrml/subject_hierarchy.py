"""Places of nodes in the subject hierarchy, the tree of Slicer's Data module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import slicer
from vtkmodules.vtkCommonCore import vtkIdList

from UltrasoundMotionLib.steps import Steps, run_steps

_FOLDER_LEVEL = slicer.vtkMRMLSubjectHierarchyConstants.GetSubjectHierarchyLevelFolder()


def put_in_folder(
    scene: slicer.vtkMRMLScene, beside: slicer.vtkMRMLNode, nodes: Iterable[slicer.vtkMRMLNode], folder_name: str
) -> int:
    """`putting_in_folder` at once."""
    return run_steps(putting_in_folder(scene, beside, nodes, folder_name))


def putting_in_folder(
    scene: slicer.vtkMRMLScene, beside: slicer.vtkMRMLNode, nodes: Iterable[slicer.vtkMRMLNode], folder_name: str
) -> Steps[int]:
    """Puts nodes into a folder beside the input (under the same patient and study) and returns the folder's item.

    The application makes an item for each node by itself; outside it they are made here. A folder of that name in that
    place is used again; a node of that name is none. An input that hangs under one of the nodes is moved with it.
    """
    nodes = list(nodes)
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    if not tree.GetItemByDataNode(beside):
        tree.CreateItem(tree.GetSceneItemID(), beside)
    parent = tree.GetItemParent(tree.GetItemByDataNode(beside))
    for ancestor in _ancestors(tree, parent):
        if tree.GetItemDataNode(ancestor) in nodes:  # would hang under its own child
            parent = tree.GetItemParent(ancestor)
    for done, node in enumerate(nodes):
        yield done, len(nodes), "putting the nodes into a folder"
        if node.GetScene() is not None:  # not removed in the meantime
            tree.CreateItem(_folder(tree, parent, folder_name), node)  # moves the item of a node that has one
    return _folder(tree, parent, folder_name)


def _folder(tree: slicer.vtkMRMLSubjectHierarchyNode, parent: int, name: str) -> int:
    """The folder of that name under a parent, made where there is none."""
    folder = _folder_named(tree, parent, name)
    if folder is None:
        folder = tree.CreateFolderItem(parent, name)
        tree.SetItemExpanded(folder, True)
    return folder


def _ancestors(tree: slicer.vtkMRMLSubjectHierarchyNode, item: int) -> Iterator[int]:
    """An item and those above it, up to the scene, which is left out."""
    while item not in (tree.GetInvalidItemID(), tree.GetSceneItemID()):
        yield item
        item = tree.GetItemParent(item)


def _folder_named(tree: slicer.vtkMRMLSubjectHierarchyNode, parent: int, name: str) -> int | None:
    """The first folder of that name under a parent; `GetItemChildWithName` would return a node's item too."""
    items = vtkIdList()
    tree.GetItemChildren(parent, items, False)
    children = (items.GetId(number) for number in range(items.GetNumberOfIds()))
    folders = (
        item for item in children if tree.IsItemLevel(item, _FOLDER_LEVEL) and tree.GetItemDataNode(item) is None
    )
    return next((item for item in folders if tree.GetItemName(item) == name), None)


def forget_item(node: slicer.vtkMRMLNode) -> None:
    """Removes a node's item from the tree, and the folder that held it if that is now empty (the application does the
    first by itself).
    """
    # asking for the hierarchy itself would make one
    tree = node.GetScene().GetFirstNodeByClass("vtkMRMLSubjectHierarchyNode")
    item = tree.GetItemByDataNode(node) if tree is not None else 0
    if not item:
        return
    parent = tree.GetItemParent(item)
    tree.RemoveItem(item, False, False)
    if (
        parent != tree.GetSceneItemID()
        and tree.IsItemLevel(parent, _FOLDER_LEVEL)
        and tree.GetNumberOfItemChildren(parent) == 0
    ):
        tree.RemoveItem(parent, False, False)
