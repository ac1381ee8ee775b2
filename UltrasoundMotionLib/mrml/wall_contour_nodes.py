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
from UltrasoundMotionLib.mrml.markups_display import show_curve
from UltrasoundMotionLib.mrml.node_removal import remove_node
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.tracks_from_nodes import query_points_from_markups
from UltrasoundMotionLib.strain.curve_geometry import evenly_spaced
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.strain.wall_contour import WallContour, contour_from_clicks, contour_from_curve

CLICK_LABELS = ("hinge", "apex", "other hinge")
DRAWN_COUNT = 101
"""Points that stand for a drawn curve as Slicer shows it."""


def add_clicks(scene: slicer.vtkMRMLScene, name: str) -> slicer.vtkMRMLMarkupsFiducialNode:
    """Adds a point list with the three named points of an apical view, which the user places one after the other."""
    clicks = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", scene.GenerateUniqueName(name))
    clicks.CreateDefaultDisplayNodes()
    for number, label in enumerate(CLICK_LABELS):
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
    """The wall that was marked on a frame, each node under whatever transforms it has.

    Args:
        markups: a point list with hinge, apex and hinge, or with at least 6 points in order along the wall; or a curve,
            of which the line is taken as Slicer shows it (a closed curve, or the control points of an open one, for a
            short-axis view).
        image, sequence: the clip.
        view: a name of `segment_model`.
        frame: on which the wall was marked.
        count: points to make.

    Raises:
        InputError: fewer points than that; an apical view drawn as a closed curve; see `contour_from_clicks` and
            `contour_from_curve`.
    """
    closed, options = segment_model(view).closed, {"view": view, "frame": frame, "spacing_mm": sequence.spacing_mm}
    placed = markups.GetNumberOfDefinedControlPoints()
    if markups.IsA("vtkMRMLMarkupsCurveNode"):
        if markups.IsA("vtkMRMLMarkupsClosedCurveNode") and not closed:
            raise InputError(
                f"{markups.GetName()}: is a closed curve, but the wall of {view} is open at the base; draw it as an open curve"
            )
        if placed < 3:
            raise InputError(f"{markups.GetName()}: {placed} points are placed; draw the wall with at least 3")
        if markups.IsA("vtkMRMLMarkupsClosedCurveNode") or not closed:
            return contour_from_curve(_drawn_line(markups, image, sequence), count, **options)
    elif placed < 3:
        labels = [markups.GetNthControlPointLabel(control) for control in range(markups.GetNumberOfControlPoints())]
        missing = labels[placed:] or CLICK_LABELS[placed:]
        raise InputError(f"{markups.GetName()}: {placed} of 3 points are placed; click {', '.join(missing)}")
    points = query_points_from_markups(markups, image, sequence).points_px
    if len(points) == 3:
        return contour_from_clicks(points, count, **options)
    return contour_from_curve(points, count, **options)


def _drawn_line(curve: slicer.vtkMRMLMarkupsCurveNode, image: SequenceNodes, sequence: ImageSequence) -> np.ndarray:
    """(DRAWN_COUNT, 2) evenly spaced pixels along a curve as it is shown."""
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(None, image.proxy.GetParentTransformNode(), transform)
    world = vtk_to_numpy(curve.GetCurvePointsWorld().GetData())
    own = np.array([transform.TransformPoint(point) for point in world.astype(np.float64)])
    return evenly_spaced(ras_mm_to_pixels(sequence, own), DRAWN_COUNT)


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
