"""Nodes of a scene by class."""

from __future__ import annotations

import slicer


def nodes_of_class(scene: slicer.vtkMRMLScene, class_name: str) -> list[slicer.vtkMRMLNode]:
    """Returns the nodes of a class and its subclasses, in the scene's order.

    `slicer.util.getNodesByClass` searches the application's scene only.
    """
    return [scene.GetNthNodeByClass(number, class_name) for number in range(scene.GetNumberOfNodesByClass(class_name))]
