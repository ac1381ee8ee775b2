"""Slice, plot and table views, and the layout."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from UltrasoundMotionLib.mrml.headless_scene import application_logic_of
from UltrasoundMotionLib.mrml.image_geometry import from_vtk_matrix, to_vtk_matrix
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class

FOREGROUND_OPACITY = 0.5
"""Opacity of a volume shown over another."""


def show_as_acquired(
    scene: slicer.vtkMRMLScene, volume: slicer.vtkMRMLVolumeNode, view_name: str = "Red"
) -> slicer.vtkMRMLSliceNode:
    """Shows a one-slice volume in a slice view as acquired: columns to the right, rows downwards, filling the view.

    The image may have any orientation and a linear parent transform. The view is added if the scene does not have it.
    """
    node = view_node(scene, "vtkMRMLSliceNode", view_name)
    view_node(scene, "vtkMRMLSliceCompositeNode", view_name).SetBackgroundVolumeID(volume.GetID())
    ijk_to_world, size = _ijk_to_world(volume), np.array(volume.GetImageData().GetDimensions())
    right, down = (ijk_to_world[:3, axis] / np.linalg.norm(ijk_to_world[:3, axis]) for axis in (0, 1))
    slice_to_ras = np.eye(4)
    slice_to_ras[:3, :3] = np.column_stack([right, -down, np.cross(right, -down)])
    slice_to_ras[:3, 3] = (ijk_to_world @ [*(size - 1) / 2, 1.0])[:3]
    was_modifying = node.StartModify()
    node.GetSliceToRAS().DeepCopy(to_vtk_matrix(slice_to_ras))
    width_mm, height_mm = size[:2] * np.linalg.norm(ijk_to_world[:3, :2], axis=0)
    pixels = np.array(node.GetDimensions()[:2], dtype=float)
    scale = max(width_mm / pixels[0], height_mm / pixels[1])  # mm per pixel of the view
    node.SetFieldOfView(scale * pixels[0], scale * pixels[1], node.GetFieldOfView()[2])
    node.SetSliceVisible(True)
    node.UpdateMatrices()
    node.EndModify(was_modifying)
    return node


@dataclass(frozen=True)
class SliceViewState:
    """Content and position of a slice view, to be restored.

    Attributes:
        slice_node, composite: the nodes of the view.
        volumes: IDs of the background, foreground and label volume, None where there is none.
        slice_to_ras: (16,) elements of its matrix.
        field_of_view: mm.
    """

    slice_node: slicer.vtkMRMLSliceNode
    composite: slicer.vtkMRMLSliceCompositeNode
    volumes: tuple[str | None, str | None, str | None]
    slice_to_ras: tuple[float, ...]
    field_of_view: tuple[float, float, float]

    @classmethod
    def of(cls, scene: slicer.vtkMRMLScene, view_name: str) -> SliceViewState:
        """Reads the state of a view, which is added if the scene does not have it."""
        node = view_node(scene, "vtkMRMLSliceNode", view_name)
        composite = view_node(scene, "vtkMRMLSliceCompositeNode", view_name)
        matrix = node.GetSliceToRAS()
        return cls(
            node,
            composite,
            (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID(), composite.GetLabelVolumeID()),
            tuple(matrix.GetElement(row, column) for row in range(4) for column in range(4)),
            tuple(node.GetFieldOfView()),
        )

    def restore(self) -> None:
        """Shows the volumes again that are still in the scene, where they were."""
        node, scene = self.slice_node, self.slice_node.GetScene()
        if scene is None:
            return
        setters = (
            self.composite.SetBackgroundVolumeID,
            self.composite.SetForegroundVolumeID,
            self.composite.SetLabelVolumeID,
        )
        for set_volume, volume in zip(setters, self.volumes, strict=True):
            set_volume(volume if volume is not None and scene.GetNodeByID(volume) is not None else None)
        was_modifying = node.StartModify()
        node.GetSliceToRAS().DeepCopy(self.slice_to_ras)
        scale = self.field_of_view[0] / node.GetFieldOfView()[0]
        width, height, depth = node.GetFieldOfView()
        node.SetFieldOfView(width * scale, height * scale, depth)
        node.UpdateMatrices()
        node.EndModify(was_modifying)


def show_chart(
    scene: slicer.vtkMRMLScene, chart: slicer.vtkMRMLPlotChartNode, view_name: str = "PlotView1"
) -> slicer.vtkMRMLPlotViewNode:
    """Shows a chart in the plot view of that name, which is added if missing."""
    node = view_node(scene, "vtkMRMLPlotViewNode", view_name)
    node.SetPlotChartNodeID(chart.GetID())
    return node


def show_table(
    scene: slicer.vtkMRMLScene, table: slicer.vtkMRMLTableNode, view_name: str = "TableView1"
) -> slicer.vtkMRMLTableViewNode:
    """Shows a table in the table view of that name, which is added if missing."""
    node = view_node(scene, "vtkMRMLTableViewNode", view_name)
    node.SetTableNodeID(table.GetID())
    return node


def set_layout(
    scene: slicer.vtkMRMLScene, arrangement: int = slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpPlotView
) -> slicer.vtkMRMLLayoutNode:
    """Sets the layout in which a saved scene opens, by default slice views and a plot.

    Not for modules, which leave the user's layout unchanged.
    """
    node = scene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    if node is None:
        node = slicer.vtkMRMLLayoutNode()
        node.SetSingletonTag("vtkMRMLLayoutNode")  # the application's own, which the loaded one then updates
        node = scene.AddNode(node)
    if not node.IsLayoutDescription(arrangement):
        node.AddLayoutDescription(arrangement, "")  # only the number is saved; the application has the descriptions
    node.SetViewArrangement(arrangement)
    return node


def view_node(scene: slicer.vtkMRMLScene, class_name: str, view_name: str) -> slicer.vtkMRMLNode:
    """Returns the node of a class that belongs to a view, added if the scene does not have it."""
    node = scene.GetSingletonNode(view_name, class_name)
    if node is None:
        node = getattr(slicer, class_name)()
        node.SetName(view_name)
        node.SetLayoutName(view_name)
        node = scene.AddNode(node)
    return node


def _ijk_to_world(volume: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    ijk_to_ras = from_vtk_matrix(matrix)
    parent = volume.GetParentTransformNode()
    if parent is None or not parent.IsTransformToWorldLinear():
        return ijk_to_ras
    parent.GetMatrixTransformToWorld(matrix)
    return from_vtk_matrix(matrix) @ ijk_to_ras


def show_over(
    background: slicer.vtkMRMLVolumeNode, foreground: slicer.vtkMRMLVolumeNode, opacity: float = FOREGROUND_OPACITY
) -> None:
    """Shows one volume over another in every slice view of the scene.

    Views that show the background already keep their position. Otherwise they are moved to it: a single slice is shown
    as acquired in the red view, a volume is fitted into each view.
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
