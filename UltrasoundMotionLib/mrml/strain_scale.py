"""The colour scale of strain in a scene, and the legend that shows it."""

from __future__ import annotations

import numpy as np
import slicer

from UltrasoundMotionLib.pictures.strain_colors import STRAIN_LIMIT_PERCENT, strain_colors

_SCALE_NAME = "Longitudinal strain (%)"
REJECTED_PERCENT = -1.5 * STRAIN_LIMIT_PERCENT
"""The value painted where strain is not to be trusted; below the lowest colour of strain the scale is grey."""

_TICKS = 6
"""Number of labels of the legend, which makes them multiples of ten from `REJECTED_PERCENT` to the limit."""


def strain_color_node(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLProceduralColorNode:
    """Returns the scene's colours of strain, added if missing: those of the pictures from -20 to 20 %, grey below."""
    node = scene.GetFirstNodeByName(_SCALE_NAME)
    if node is not None and node.IsA("vtkMRMLProceduralColorNode"):
        return node
    node = slicer.vtkMRMLProceduralColorNode()
    node.SetName(_SCALE_NAME)
    colors = node.GetColorTransferFunction()
    for percent in (REJECTED_PERCENT, -1.06 * STRAIN_LIMIT_PERCENT):
        colors.AddRGBPoint(percent, *(float(channel) for channel in strain_colors(np.array(np.nan))))
    for percent in (-1.05 * STRAIN_LIMIT_PERCENT, *np.linspace(-STRAIN_LIMIT_PERCENT, STRAIN_LIMIT_PERCENT, 33)):
        colors.AddRGBPoint(float(percent), *(float(channel) for channel in strain_colors(np.array(percent))))
    return scene.AddNode(node)


def add_color_legend(
    node: slicer.vtkMRMLDisplayableNode, title: str, *, view_name: str | None = None
) -> slicer.vtkMRMLColorLegendDisplayNode:
    """Adds the legend of a node's colours, as the Colors module does; it is removed with the node's display nodes.

    Args:
        view_name: the only slice view that shows it, if the scene has that view; all that show the node when None.
    """
    scene, display = node.GetScene(), node.GetDisplayNode()
    legend = scene.AddNewNodeByClass(
        "vtkMRMLColorLegendDisplayNode", scene.GenerateUniqueName(f"{node.GetName()} legend")
    )
    node.AddAndObserveDisplayNodeID(legend.GetID())
    legend.SetAndObserveColorNodeID(display.GetColorNodeID())
    legend.SetAndObservePrimaryDisplayNode(display)
    legend.SetTitleText(title)  # last of what drawing needs: it is drawn from here on
    legend.GetTitleTextProperty().SetFontSize(14)
    legend.GetLabelTextProperty().SetFontSize(12)
    legend.SetLabelFormat("%.0f")
    legend.SetNumberOfLabels(_TICKS)
    legend.SetSize(0.10, 0.5)
    legend.SetPosition(0.98, 0.5)
    view = scene.GetSingletonNode(view_name, "vtkMRMLSliceNode") if view_name is not None else None
    if view is not None:
        legend.AddViewNodeID(view.GetID())
    return legend
