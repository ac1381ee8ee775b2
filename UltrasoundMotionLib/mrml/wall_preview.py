"""The wall that would be tracked, drawn over the clip while the user still moves its points; never saved with the
scene.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import slicer
import vtk

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.markups_display import show_curve
from UltrasoundMotionLib.mrml.node_removal import remove_node
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes

PREVIEW_COLOR = (1.0, 0.84, 0.1)


class WallPreview:
    """A thin curve for each layer."""

    def __init__(self) -> None:
        self.curves: dict[str, slicer.vtkMRMLMarkupsCurveNode] = {}

    def show(
        self, image: SequenceNodes, sequence: ImageSequence, layers: Mapping[str, np.ndarray], *, closed: bool
    ) -> None:
        """Draws these layers, (N, 2) pixels each, in place of what was drawn before."""
        class_name = "vtkMRMLMarkupsClosedCurveNode" if closed else "vtkMRMLMarkupsCurveNode"
        usable = {
            name: curve
            for name, curve in self.curves.items()
            if curve.GetScene() is image.scene and curve.GetClassName() == class_name
        }
        for name in [name for name in self.curves if name not in usable or name not in layers]:
            remove_node(self.curves.pop(name))
        for name, points_px in layers.items():
            curve = self.curves.get(name) or self._add(image.scene, class_name, sequence, name)
            self.curves[name] = curve
            points = vtk.vtkPoints()
            for position in pixels_to_ras_mm(sequence, points_px):
                points.InsertNextPoint(position)
            was_modifying = curve.StartModify()
            curve.SetAndObserveTransformNodeID(None)
            curve.SetControlPointPositionsWorld(points)
            for control in range(curve.GetNumberOfControlPoints()):
                curve.SetNthControlPointVisibility(control, False)
            curve.SetAndObserveTransformNodeID(image.proxy.GetTransformNodeID())
            curve.EndModify(was_modifying)

    def clear(self) -> None:
        """Takes it out of the scene."""
        for curve in self.curves.values():
            remove_node(curve)
        self.curves = {}

    @staticmethod
    def _add(
        scene: slicer.vtkMRMLScene, class_name: str, sequence: ImageSequence, layer: str
    ) -> slicer.vtkMRMLMarkupsCurveNode:
        curve = getattr(slicer, class_name)()
        curve.SetName(scene.GenerateUniqueName(f"{sequence.name} wall preview {layer}"))
        curve.SetSaveWithScene(False)
        curve.SetHideFromEditors(True)
        curve.SetLocked(True)
        curve = scene.AddNode(curve)
        curve.SetCurveTypeToLinear()
        curve.CreateDefaultDisplayNodes()
        curve.GetDisplayNode().SetSaveWithScene(False)
        show_curve(curve, sequence, PREVIEW_COLOR, width=0.004 if layer == "mid" else 0.002)
        return curve
