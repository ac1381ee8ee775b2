"""The newest image and the points of a live session as Slicer's nodes."""

from __future__ import annotations

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.jobs.capabilities.live import LiveView
from UltrasoundMotionLib.mrml.image_geometry import to_vtk_matrix
from UltrasoundMotionLib.mrml.markups_display import show_landmarks

_LOST_COLOR = (1.0, 0.45, 0.1)


class LiveNodes:
    """A volume and a list of points that are replaced with each new view; made with the first.

    A point that is lost is not selected, so that Slicer shows it in another colour.

    Attributes:
        image: the volume, None before the first image or where it was removed.
        points: the points, None before the first or where they were removed.
        hold: True keeps the points where they are, as while the user drags one.
    """

    def __init__(self, scene: slicer.vtkMRMLScene) -> None:
        self._scene = scene
        self.image: slicer.vtkMRMLScalarVolumeNode | None = None
        self.points: slicer.vtkMRMLMarkupsFiducialNode | None = None
        self.hold = False

    def show(self, view: LiveView) -> bool:
        """Shows a view; returns True where the volume is new or has another size, and is to be fitted into its slice
        view.
        """
        if view.pixels is None or view.ijk_to_ras is None:
            return False
        image = self._image_node()
        before = image.GetImageData()
        size = view.pixels.shape[::-1]
        resized = before is None or before.GetDimensions()[:2] != size
        was_modifying = image.StartModify()
        data = vtk.vtkImageData()
        data.SetDimensions(*size, 1)
        data.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(view.pixels).ravel(), deep=True))
        image.SetIJKToRASMatrix(to_vtk_matrix(view.ijk_to_ras))
        image.SetAndObserveImageData(data)
        image.EndModify(was_modifying)
        if resized:
            self._show_grey(image, view.pixels)
        if view.labels and not self.hold:
            self._show_points(view)
        return resized

    def places(self) -> tuple[tuple[str, ...], np.ndarray] | None:
        """Returns the labels (N,) and positions (N, 3) in RAS mm of the points as they are now, None without any."""
        points = self._in_scene(self.points)
        if points is None or not points.GetNumberOfControlPoints():
            return None
        count = points.GetNumberOfControlPoints()
        labels = tuple(points.GetNthControlPointLabel(number) for number in range(count))
        return labels, np.array([points.GetNthControlPointPosition(number) for number in range(count)])

    def _image_node(self) -> slicer.vtkMRMLScalarVolumeNode:
        self.image = self._in_scene(self.image)
        if self.image is None:
            name = self._scene.GenerateUniqueName("Live image")
            self.image = self._scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        return self.image

    @staticmethod
    def _show_grey(image: slicer.vtkMRMLScalarVolumeNode, pixels: np.ndarray) -> None:
        image.CreateDefaultDisplayNodes()
        display = image.GetDisplayNode()
        display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
        display.SetAutoWindowLevel(False)
        low, high = (0.0, 255.0) if pixels.dtype == np.uint8 else map(float, np.percentile(pixels, (0.5, 99.5)))
        display.SetWindowLevelMinMax(low, high if high > low else low + 1.0)

    def _show_points(self, view: LiveView) -> None:
        points = self._in_scene(self.points)
        assert view.positions_ras is not None and view.pixels is not None
        count = len(view.labels)
        if points is None:
            name = self._scene.GenerateUniqueName("Live landmarks")
            points = self._scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
            points.CreateDefaultDisplayNodes()
            self.points = points
        was_modifying = points.StartModify()
        if points.GetNumberOfControlPoints() != count:
            points.RemoveAllControlPoints()
            for _number in range(count):
                points.AddControlPoint(0.0, 0.0, 0.0)
            show_landmarks(points, ImageSequence(view.pixels[None], _spacing(view)), count)
            points.GetDisplayNode().SetColor(*_LOST_COLOR)
        for number, (label, place, seen) in enumerate(
            zip(view.labels, view.positions_ras.tolist(), view.visible, strict=True)
        ):
            if points.GetNthControlPointLabel(number) != label:
                points.SetNthControlPointLabel(number, label)
            points.SetNthControlPointPosition(number, *place)
            if bool(points.GetNthControlPointSelected(number)) != seen:
                points.SetNthControlPointSelected(number, seen)
        points.EndModify(was_modifying)

    @staticmethod
    def _in_scene(node: slicer.vtkMRMLNode | None) -> slicer.vtkMRMLNode | None:
        return node if node is not None and node.GetScene() is not None else None


def placed_points(markups: slicer.vtkMRMLMarkupsNode) -> tuple[tuple[str, ...], np.ndarray] | None:
    """Returns the labels (N,) and positions (N, 3) in RAS mm of the world of a list's placed points, None without any.

    Raises:
        InputError: two points have the same label.
    """
    placed = [
        number
        for number in range(markups.GetNumberOfControlPoints())
        if markups.GetNthControlPointPositionStatus(number) == markups.PositionDefined
    ]
    if not placed:
        return None
    labels = tuple(markups.GetNthControlPointLabel(number) or f"P{number + 1}" for number in placed)
    if len(set(labels)) < len(labels):
        raise InputError(f"{markups.GetName()}: two points have the same label; give each its own")
    return labels, np.array([markups.GetNthControlPointPositionWorld(number) for number in placed])


def _spacing(view: LiveView) -> tuple[float, float]:
    assert view.ijk_to_ras is not None
    x, y = np.linalg.norm(view.ijk_to_ras[:3, :2], axis=0).tolist()
    return x, y
