"""A registered pair in the slice views that there are: fixed behind, warped in front, ready to fade and flicker.

The layout stays as it is.
"""

from __future__ import annotations

import numpy as np
import slicer

from UltrasoundMotionLib.mrml.headless_scene import application_logic_of
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.views import show_as_acquired

FOREGROUND_OPACITY = 0.5


def show_over(
    background: slicer.vtkMRMLVolumeNode, foreground: slicer.vtkMRMLVolumeNode, opacity: float = FOREGROUND_OPACITY
) -> None:
    """Shows one volume over another in every slice view of the scene.

    Views keep their place where they showed the background already. Else they go to it: a single slice upright in the
    red view as it was acquired, a volume fitted into each view.
    """
    scene = background.GetScene()
    composites = nodes_of_class(scene, "vtkMRMLSliceCompositeNode")
    shown_already = bool(composites) and all(node.GetBackgroundVolumeID() == background.GetID() for node in composites)
    for node in composites:
        node.SetBackgroundVolumeID(background.GetID())
        node.SetForegroundVolumeID(foreground.GetID())
        node.SetForegroundOpacity(opacity)
    if shown_already:
        return
    if background.GetImageData().GetDimensions()[2] == 1:
        show_as_acquired(scene, background)
        return
    bounds = np.zeros(6)
    background.GetRASBounds(bounds)
    for node in nodes_of_class(scene, "vtkMRMLSliceNode"):
        node.JumpSliceByCentering(*(bounds[::2] + bounds[1::2]) / 2)
    application_logic_of(scene).FitSliceToBackground(False, False)
