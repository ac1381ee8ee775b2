"""The legend that tells what the colours of a node mean, in the views that show it."""

from __future__ import annotations

import slicer


def add_color_legend(node: slicer.vtkMRMLDisplayableNode, title: str) -> slicer.vtkMRMLColorLegendDisplayNode:
    """Adds the legend of a node's colours, as the Colors module does; it goes with the node's other display nodes."""
    scene, display = node.GetScene(), node.GetDisplayNode()
    legend = scene.AddNewNodeByClass(
        "vtkMRMLColorLegendDisplayNode", scene.GenerateUniqueName(f"{node.GetName()} legend")
    )
    node.AddAndObserveDisplayNodeID(legend.GetID())
    legend.SetAndObserveColorNodeID(display.GetColorNodeID())
    legend.SetAndObservePrimaryDisplayNode(display)
    legend.SetTitleText(title)  # from here on it is drawn, so it has all it needs by now
    legend.GetTitleTextProperty().SetFontSize(14)
    legend.GetLabelTextProperty().SetFontSize(12)
    legend.SetLabelFormat("%.0f")
    legend.SetSize(0.10, 0.5)
    legend.SetPosition(0.98, 0.5)
    return legend
