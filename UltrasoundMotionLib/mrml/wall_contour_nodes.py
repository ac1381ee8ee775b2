"""The wall that a user marks by three clicks or a drawn curve: its contour in the clip's pixels, and its preview."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm, ras_mm_to_pixels
from UltrasoundMotionLib.mrml.markups_display import show_curve, show_placed_points
from UltrasoundMotionLib.mrml.node_removal import remove_node
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.tracks_from_nodes import query_points_from_markups
from UltrasoundMotionLib.strain.curve_geometry import evenly_spaced
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.strain.wall_contour import WallContour, contour_from_clicks, contour_from_curve
from UltrasoundMotionLib.strain.wall_layers import MIDDLE_LAYER

_CLICK_LABELS = ("hinge", "apex", "other hinge")
_DRAWN_COUNT = 101
"""Number of points by which a drawn curve is sampled."""


def add_clicks(scene: slicer.vtkMRMLScene, name: str) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Adds a point list with the three named, not yet placed points of an apical view."""
    clicks = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", scene.GenerateUniqueName(name))
    show_placed_points(clicks)
    for number, label in enumerate(_CLICK_LABELS):
        clicks.AddControlPoint(0.0, 0.0, 0.0, label)
        clicks.UnsetNthControlPointPosition(number)
    clicks.SetFixedNumberOfControlPoints(True)
    return clicks


def contour_from_node(
    markups: slicer.vtkMRMLMarkupsNode,
    image: SequenceNodes,
    sequence: ImageSequence,
    *,
    view: str,
    frame: int = 0,
    count: int = 49,
) -> WallContour:
    """Returns the contour of the wall that a user marked on a frame; both nodes may be under transforms.

    Args:
        markups: a point list with hinge, apex and hinge, or with at least 6 points in order along the wall; or a curve,
            whose line is used as Slicer shows it (for a short-axis view a closed curve, or the control points of an
            open one).
        image, sequence: the clip's nodes and the clip.
        view: a name of `segment_model`.
        frame: the frame on which the wall was marked.
        count: number of points to make.

    Raises:
        InputError: too few points; an apical view drawn as a closed curve; points that `contour_from_clicks` or
            `contour_from_curve` refuse.
    """
    closed, spacing = segment_model(view).closed, sequence.spacing_mm
    placed = markups.GetNumberOfDefinedControlPoints()
    if markups.IsA("vtkMRMLMarkupsCurveNode"):
        if markups.IsA("vtkMRMLMarkupsClosedCurveNode") and not closed:
            raise InputError(
                f"{markups.GetName()}: is a closed curve, but the wall of {view} is open at the base;"
                " draw it as an open curve"
            )
        if placed < 3:
            raise InputError(f"{markups.GetName()}: {placed} points are placed; draw the wall with at least 3")
        if markups.IsA("vtkMRMLMarkupsClosedCurveNode") or not closed:
            return contour_from_curve(
                _drawn_line(markups, image, sequence), count, view=view, frame=frame, spacing_mm=spacing
            )
    elif placed < 3:
        labels = [markups.GetNthControlPointLabel(control) for control in range(markups.GetNumberOfControlPoints())]
        missing = labels[placed:] or _CLICK_LABELS[placed:]
        raise InputError(f"{markups.GetName()}: {placed} of 3 points are placed; click {', '.join(missing)}")
    points = query_points_from_markups(markups, image, sequence).points_px
    if len(points) == 3:
        return contour_from_clicks(points, count, view=view, frame=frame, spacing_mm=spacing)
    return contour_from_curve(points, count, view=view, frame=frame, spacing_mm=spacing)


def _drawn_line(curve: slicer.vtkMRMLMarkupsCurveNode, image: SequenceNodes, sequence: ImageSequence) -> np.ndarray:
    """Returns evenly spaced points (101, 2) in pixels along a curve as it is shown."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, image.proxy.GetParentTransformNode(), transform)
    world = vtk_to_numpy(curve.GetCurvePointsWorld().GetData())
    own = np.array([transform.TransformPoint(point) for point in world.astype(np.float64)])
    return evenly_spaced(ras_mm_to_pixels(sequence, own), _DRAWN_COUNT)


_PREVIEW_COLOR = (1.0, 0.84, 0.1)


class WallPreview:
    """Thin curves of the layers that would be tracked, shown while the user marks the wall; never saved."""

    def __init__(self) -> None:
        self.curves: dict[str, slicer.vtkMRMLMarkupsCurveNode] = {}

    def show(
        self, image: SequenceNodes, sequence: ImageSequence, layers: Mapping[str, np.ndarray], *, closed: bool
    ) -> None:
        """Draws layers, (N, 2) pixels each, in place of those drawn before."""
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
        """Removes the preview from the scene."""
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
        show_curve(curve, sequence, _PREVIEW_COLOR, width=0.004 if layer == MIDDLE_LAYER else 0.002)
        return curve
