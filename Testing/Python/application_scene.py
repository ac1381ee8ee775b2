"""A scene whose subject hierarchy is kept as the 3D Slicer application keeps it, for the tests of everything that adds
nodes.

    with application_items_everywhere(), HeadlessScene() as scene:
        ...     # every node that is added has an item of the Data module at once, as in the application

The application's qSlicerSubjectHierarchyPluginLogic makes an item for each node that one of its plugins accepts,
removes it with the node, and adds missing items after an import or a batch. slicer-core has the subject hierarchy
itself, but not that class. `ApplicationItems` follows it (read in Slicer 5.12,
Modules/Loadable/SubjectHierarchy/Widgets/qSlicerSubjectHierarchyPluginLogic.cxx, and `canAddNodeToSubjectHierarchy` of
the plugins). `application_items_everywhere` does it for the scenes that the library makes by itself, too; conftest.py
does so for all tests that import Slicer's libraries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import slicer
import vtk

from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene

OWNER_PLUGINS = {
    "vtkMRMLSegmentationNode": "Segmentations",
    "vtkMRMLLabelMapVolumeNode": "LabelMaps",
    "vtkMRMLScalarVolumeNode": "Volumes",
    "vtkMRMLMarkupsNode": "Markups",
    "vtkMRMLModelNode": "Models",
    "vtkMRMLPlotChartNode": "Plots",
    "vtkMRMLPlotSeriesNode": "Plots",
    "vtkMRMLTableNode": "Tables",
    "vtkMRMLTextNode": "Texts",
    "vtkMRMLTransformNode": "Transforms",
}
"""The classes that the application's plugins accept, the more special ones first. Sequences, browsers, parameter and
display nodes have no item."""

FIRST = 10.0
"""The priority with which the application observes the end of an import and of a batch."""


class ApplicationItems:
    """Observers of a scene that keep an item for each node, as the application does."""

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        observers: dict[int, tuple[Callable[..., None], float]] = {
            slicer.vtkMRMLScene.NodeAddedEvent: (self._on_node_added, 0.0),
            slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent: (self._on_node_about_to_be_removed, 0.0),
            slicer.vtkMRMLScene.NodeRemovedEvent: (self._on_node_removed, 0.0),
            slicer.vtkMRMLScene.EndImportEvent: (self._on_import_ended, FIRST),
            slicer.vtkMRMLScene.EndCloseEvent: (self._on_close_ended, 0.0),
            slicer.vtkMRMLScene.EndRestoreEvent: (self._on_close_ended, 0.0),
            slicer.vtkMRMLScene.EndBatchProcessEvent: (self._on_batch_ended, FIRST),
        }
        self._tags = [scene.AddObserver(event, method, priority) for event, (method, priority) in observers.items()]
        self._add_missing_items()

    def close(self) -> None:
        """Removes the observers; the items stay."""
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        self._tags = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_added(self, _scene: object, _event: str, node: slicer.vtkMRMLNode) -> None:
        if node.IsA("vtkMRMLSubjectHierarchyNode"):
            slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self._scene)
        elif not self._scene.IsImporting():
            self._add_item(node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_about_to_be_removed(self, _scene: object, _event: str, node: slicer.vtkMRMLNode) -> None:
        if self._scene.IsClosing() or node.IsA("vtkMRMLSubjectHierarchyNode"):
            return
        tree = self._tree()
        item = tree.GetItemByDataNode(node)
        if item:
            tree.RemoveItem(item, False, False)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _on_node_removed(self, _scene: object, _event: str, node: slicer.vtkMRMLNode) -> None:
        if not self._scene.IsClosing() and node.IsA("vtkMRMLSubjectHierarchyNode"):
            self._on_import_ended()

    def _on_import_ended(self, *_: object) -> None:
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self._scene)
        self._add_missing_items()

    def _on_close_ended(self, *_: object) -> None:
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(self._scene)

    def _on_batch_ended(self, *_: object) -> None:
        tree = self._tree()
        items = vtk.vtkIdList()
        tree.GetItemChildren(tree.GetSceneItemID(), items, True)
        for item in (items.GetId(number) for number in range(items.GetNumberOfIds())):
            if not tree.GetItemLevel(item) and tree.GetItemDataNode(item) is None:
                tree.RemoveItem(item, False, False)
        self._add_missing_items()

    def _add_missing_items(self) -> None:
        tree = self._tree()
        for number in range(self._scene.GetNumberOfNodes()):
            node = self._scene.GetNthNode(number)
            if node is not None and not tree.GetItemByDataNode(node):
                self._add_item(node)

    def _add_item(self, node: slicer.vtkMRMLNode) -> None:
        plugin = next((name for class_name, name in OWNER_PLUGINS.items() if node.IsA(class_name)), None)
        if plugin is not None and not node.GetHideFromEditors():
            tree = self._tree()
            tree.CreateItem(tree.GetSceneItemID(), node, plugin)

    def _tree(self) -> slicer.vtkMRMLSubjectHierarchyNode:
        return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)


@contextmanager
def application_items_everywhere() -> Iterator[None]:
    """Keeps an item for each node of every `HeadlessScene` that is made while the block runs, by the library too."""
    make, close = HeadlessScene.__init__, HeadlessScene.close

    def make_with_items(self: HeadlessScene) -> None:
        make(self)
        self.application_items = ApplicationItems(self.scene)

    def close_with_items(self: HeadlessScene) -> None:
        try:
            items_of(self.scene)
        finally:
            self.application_items.close()
            close(self)

    HeadlessScene.__init__, HeadlessScene.close = make_with_items, close_with_items
    try:
        yield
    finally:
        HeadlessScene.__init__, HeadlessScene.close = make, close


def items_of(scene: slicer.vtkMRMLScene) -> dict[int, int]:
    """Returns the parent of each item that leads to a node.

    Raises:
        AssertionError: an item is its own ancestor, over which the application's traversal would never end.
    """
    tree = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    parents: dict[int, int] = {}
    candidates = [tree.GetItemByDataNode(scene.GetNthNode(number)) for number in range(scene.GetNumberOfNodes())]
    for start in filter(None, candidates):
        item, way = start, []
        while item != tree.GetSceneItemID():
            assert item not in way, f"{tree.GetItemName(item)!r} is its own ancestor in the subject hierarchy"
            way.append(item)
            parents[item] = tree.GetItemParent(item)
            item = parents[item]
            assert item, f"{tree.GetItemName(way[-1])!r} hangs under nothing"
    return parents
