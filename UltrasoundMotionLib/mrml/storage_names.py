"""Names of the files inside a scene bundle: those that Slicer makes of node names cannot all be read again.

Slicer writes `&` and `[` of a node's name into the file name, and that unescaped into the scene's XML. The nodes keep
their names; only the files get others.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import slicer

from UltrasoundMotionLib.errors import OutputError

_UNSAFE = re.compile(r"[^A-Za-z0-9 _.,()+=-]+")
_NOT_IN_XML = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")
_LONGEST_NAME = 40


def safe_file_name(name: str) -> str:
    """Returns a name for a file in a bundle, of ASCII letters, digits and a few signs."""
    safe = _UNSAFE.sub("_", name).strip(" .")
    return safe[:_LONGEST_NAME].rstrip(" .") or "node"


def check_node_names(scene: slicer.vtkMRMLScene) -> None:
    """Checks that a scene file can hold the name of every node.

    Raises:
        OutputError: a name with control characters, which XML does not have.
    """
    for node in _nodes(scene, "vtkMRMLNode"):
        if _NOT_IN_XML.search(node.GetName() or ""):
            raise OutputError(f"the name {node.GetName()!r} holds control characters, which a scene cannot; rename it")


@contextmanager
def safe_storage_names(scene: slicer.vtkMRMLScene) -> Iterator[None]:
    """Gives every node of a scene whose name is not safe another file name while the block runs.

    The items of a sequence get other names for that time, since Slicer makes their file names anew.
    """
    storages: list[slicer.vtkMRMLStorageNode] = []
    items: list[tuple[slicer.vtkMRMLNode, str]] = []
    try:
        for node in _nodes(scene, "vtkMRMLStorableNode"):
            if node.IsA("vtkMRMLSequenceNode"):
                items += _rename_items(node)
            name = node.GetName() or ""
            if safe_file_name(name) == name or not node.GetSaveWithScene():
                continue
            if node.GetStorageNode() is None:
                node.AddDefaultStorageNode()
            storage = node.GetStorageNode()
            if storage is not None and not storage.GetFileName():
                storage.SetFileName(safe_file_name(name))
                storages.append(storage)
        yield
    finally:
        for storage in storages:
            storage.SetFileName("")
        for item, name in items:
            item.SetName(name)


def _rename_items(node: slicer.vtkMRMLSequenceNode) -> list[tuple[slicer.vtkMRMLNode, str]]:
    """Renames the items of a sequence whose names are not safe; returns them with their own names."""
    renamed = []
    for index in range(node.GetNumberOfDataNodes()):
        item = node.GetNthDataNode(index)
        name = item.GetName() or "" if item is not None else ""
        if item is not None and safe_file_name(name) != name:
            renamed.append((item, name))
            item.SetName(safe_file_name(name))
    return renamed


def _nodes(scene: slicer.vtkMRMLScene, class_name: str) -> list[slicer.vtkMRMLNode]:
    return [scene.GetNthNodeByClass(index, class_name) for index in range(scene.GetNumberOfNodesByClass(class_name))]
