"""The nodes of a scene by their class."""

from __future__ import annotations

import slicer


def nodes_of_class(scene: slicer.vtkMRMLScene, class_name: str) -> list[slicer.vtkMRMLNode]:
    """Those of that class, or of one that extends it, in the scene's order (`slicer.util.getNodesByClass` looks in the
    application's scene only).
    """
    return [scene.GetNthNodeByClass(number, class_name) for number in range(scene.GetNumberOfNodesByClass(class_name))]
