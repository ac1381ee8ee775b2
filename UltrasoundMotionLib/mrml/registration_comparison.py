"""Views of a registered pair: before, after, in turns and as a checkerboard, without altering volumes or transforms."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import slicer
import vtk

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.image_geometry import from_vtk_matrix
from UltrasoundMotionLib.mrml.node_removal import remove_node
from UltrasoundMotionLib.mrml.registration_nodes import checkerboard
from UltrasoundMotionLib.mrml.registration_pair import parent_before_registration
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.volume_nodes import fill_volume, volume_from_node

FIXED_COLOR, MOVED_COLOR = (0.35, 0.95, 0.35), (0.98, 0.35, 0.85)
"""Outlines of the fixed and of the moved labels."""

_TEMPORARY = "UltrasoundMotion.comparison"
"""Attribute of nodes that exist while the comparison is shown; they are not saved."""

_DISPLAY_BEFORE = "UltrasoundMotion.DisplayBeforeComparison"
"""Attribute of a segmentation's display node that is shown otherwise during the comparison: how it was before."""


@dataclass(frozen=True, eq=False)
class RegisteredPair:
    """The nodes of a registered pair.

    Attributes:
        fixed, moving: the inputs.
        warped: the moving volume on the fixed grid.
        fixed_labels, moving_labels: their segmentations or label maps, or None.
        moved_labels: the moving segmentation on the fixed volume, or None.
    """

    fixed: slicer.vtkMRMLVolumeNode
    moving: slicer.vtkMRMLVolumeNode
    warped: slicer.vtkMRMLVolumeNode
    fixed_labels: slicer.vtkMRMLNode | None = None
    moving_labels: slicer.vtkMRMLNode | None = None
    moved_labels: slicer.vtkMRMLSegmentationNode | None = None

    @property
    def is_in_scene(self) -> bool:
        """True while the three volumes are in the scene."""
        return all(node is not None and node.GetScene() is not None for node in (self.fixed, self.moving, self.warped))


class RegistrationComparison:
    """Shows a registered pair in all slice views, and puts the views back as they were."""

    def __init__(self, pair: RegisteredPair) -> None:
        """Keeps what the slice views show now, for `restore`."""
        self.pair = pair
        self._scene = pair.fixed.GetScene()
        self._before: list[tuple[slicer.vtkMRMLSliceCompositeNode, tuple[str | None, ...], float]] = []
        self._views()
        self._undo: list[Callable[[], None]] = []
        self._labels_touched: set[str] = set()

    def show_before(self) -> None:
        """Shows the moving volume where it lay before registration, with its labels."""
        moving = self.pair.moving
        if parent_before_registration(moving) is not moving.GetParentTransformNode():
            moving = self._moving_before()
        self._show(self.pair.fixed, moving, 1.0)
        self.show_labels(moved=False)

    def show_after(self) -> None:
        """Shows the moving volume on the fixed one, with the labels that were carried there."""
        self._show(self.pair.fixed, self.pair.warped, 1.0)
        self.show_labels(moved=True)

    def show_fixed(self) -> None:
        """Shows the fixed volume; the other half of flicker."""
        self._show(self.pair.fixed, self.pair.warped, 0.0)
        self.show_labels(moved=True)

    def show_checkerboard(self, tile_mm: float | None) -> None:
        """Shows squares of the fixed and of the moved volume in turns, on the fixed grid.

        Args:
            tile_mm: edge of a square; None: a sixth of the longest side.

        Raises:
            InputError: tiles of no size, or nodes without an image.
        """
        board = self._temporary("vtkMRMLScalarVolumeNode", "checkerboard")
        fixed, warped = (volume_from_node(node) for node in (self.pair.fixed, self.pair.warped))
        fill_volume(board, checkerboard(fixed, warped, tile_mm), levels=(0.0, 1.0))
        board.SetAndObserveTransformNodeID(self.pair.fixed.GetTransformNodeID())
        self._show(self.pair.fixed, board, 1.0)  # a scene saved now opens with the fixed volume
        self.show_labels(moved=True)

    def restore(self) -> None:
        """Shows in every view what it showed before, and removes what was made for the comparison."""
        for node, volumes, opacity in self._before:
            if node.GetScene() is not None:
                background, foreground, labels = map(self._existing, volumes)
                _set_composite(node, background, foreground, labels, opacity)
        for undo in reversed(self._undo):
            undo()
        self._undo, self._labels_touched = [], set()
        remove_temporary_nodes(self._scene)

    def _views(self) -> list[slicer.vtkMRMLSliceCompositeNode]:
        """Returns the slice views, and keeps what those show that are new, as after a change of the layout."""
        views = nodes_of_class(self._scene, "vtkMRMLSliceCompositeNode")
        for node in views:
            if not any(node is kept for kept, _volumes, _opacity in self._before):
                volumes = node.GetBackgroundVolumeID(), node.GetForegroundVolumeID(), node.GetLabelVolumeID()
                self._before.append((node, volumes, node.GetForegroundOpacity()))
        return views

    def _existing(self, node_id: str | None) -> str | None:
        return node_id if node_id and self._scene.GetNodeByID(node_id) is not None else None

    def _show(self, background: slicer.vtkMRMLVolumeNode, foreground: slicer.vtkMRMLVolumeNode, opacity: float) -> None:
        for node in self._views():
            _set_composite(node, background.GetID(), foreground.GetID(), node.GetLabelVolumeID(), opacity)

    def show_labels(self, *, moved: bool) -> None:
        """Outlines the fixed labels, and the moving ones either where they were or where they were carried.

        Of two label maps a slice view can show one: the moving one before, the fixed one after.
        """
        pair = self.pair
        label_map = pair.fixed_labels if moved else pair.moving_labels
        if any(_is_label_map(one) for one in (pair.fixed_labels, pair.moving_labels)):
            self._show_label_map(label_map if _is_label_map(label_map) else None)
        self._outline(pair.fixed_labels, FIXED_COLOR, True)
        self._outline(pair.moved_labels, MOVED_COLOR, moved)
        self._outline(pair.moving_labels, MOVED_COLOR, not moved)

    def _outline(self, node: slicer.vtkMRMLNode | None, color: tuple[float, float, float], visible: bool) -> None:
        if node is None or node.GetScene() is None or node.GetDisplayNode() is None or _is_label_map(node):
            return
        if node.GetID() not in self._labels_touched:
            self._labels_touched.add(node.GetID())
            _keep_display(node)
            self._undo.append(partial(_put_back_display, node.GetDisplayNode()))
        outline_labels(node, color)
        node.GetDisplayNode().SetVisibility(visible)

    def _show_label_map(self, label_map: slicer.vtkMRMLVolumeNode | None) -> None:
        for node in nodes_of_class(self._scene, "vtkMRMLSliceNode"):
            if not node.GetUseLabelOutline():
                node.SetUseLabelOutline(True)
                self._undo.append(partial(node.SetUseLabelOutline, False))
        for node in self._views():
            node.SetLabelVolumeID(label_map.GetID() if label_map is not None else None)

    def _moving_before(self) -> slicer.vtkMRMLVolumeNode:
        """Returns a copy, sharing pixels, of the moving volume at its place before registration."""
        moving, name = self.pair.moving, "moving before"
        copy = next((node for node in _temporary_nodes(self._scene) if node.GetName() == name), None)
        if copy is None:
            copy, matrix = self._temporary(moving.GetClassName(), name), vtk.vtkMatrix4x4()
            moving.GetIJKToRASMatrix(matrix)
            copy.SetIJKToRASMatrix(matrix)
            copy.SetAndObserveImageData(moving.GetImageData())
            copy.CreateDefaultDisplayNodes()
            if moving.GetDisplayNode() is not None:
                copy.GetDisplayNode().Copy(moving.GetDisplayNode())
            self._hide(copy.GetDisplayNode())
        before = parent_before_registration(moving)
        copy.SetAndObserveTransformNodeID(before.GetID() if before is not None else None)
        return copy

    def _temporary(self, class_name: str, name: str) -> slicer.vtkMRMLNode:
        """Returns the hidden node of that name, made where there is none."""
        for node in _temporary_nodes(self._scene):
            if node.GetName() == name:
                return node
        node = self._scene.CreateNodeByClass(class_name)
        node.UnRegister(None)
        node.SetName(name)
        self._hide(node)
        node = self._scene.AddNode(node)
        node.CreateDefaultDisplayNodes()
        self._hide(node.GetDisplayNode())
        return node

    @staticmethod
    def _hide(node: slicer.vtkMRMLNode) -> None:
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        node.SetAttribute(_TEMPORARY, "1")


def hide_labels(node: slicer.vtkMRMLNode) -> None:
    """Hides a segmentation, or takes a label map out of the slice views."""
    if not _is_label_map(node):
        if node.GetDisplayNode() is not None:
            node.GetDisplayNode().SetVisibility(False)
        return
    for composite in nodes_of_class(node.GetScene(), "vtkMRMLSliceCompositeNode"):
        if composite.GetLabelVolumeID() == node.GetID():
            composite.SetLabelVolumeID(None)


def outline_labels(node: slicer.vtkMRMLSegmentationNode, color: tuple[float, float, float]) -> None:
    """Draws a segmentation as outlines of one colour in slice views; the segments keep their own colours."""
    display = node.GetDisplayNode()
    display.SetVisibility2DFill(False)
    display.SetVisibility2DOutline(True)
    for segment_id in node.GetSegmentation().GetSegmentIDs():
        display.SetSegmentOverrideColor(segment_id, *color)


def remove_temporary_nodes(scene: slicer.vtkMRMLScene) -> None:
    """Removes what comparisons left in a scene."""
    for node in list(_temporary_nodes(scene)):
        remove_node(node)


def put_back_labels(scene: slicer.vtkMRMLScene) -> None:
    """Shows labels as they were before a comparison in a scene that was saved during it.

    Slicer has no event before a scene is saved, in which the comparison could be ended.
    """
    for display in nodes_of_class(scene, "vtkMRMLSegmentationDisplayNode"):
        _put_back_display(display)


def jump_to_voxel(volume: slicer.vtkMRMLVolumeNode, index: tuple[float, ...]) -> None:
    """Moves all slice views along their axes to the voxel (x, y[, z]) of a volume; the part that they show stays."""
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    position = np.array(matrix.MultiplyPoint([*[*index, 0.0][:3], 1.0])[:3])
    parent = volume.GetParentTransformNode()
    if parent is not None:
        to_world = vtk.vtkGeneralTransform()
        parent.GetTransformToWorld(to_world)
        position = np.array(to_world.TransformPoint(*position))
    for node in nodes_of_class(volume.GetScene(), "vtkMRMLSliceNode"):
        node.JumpSliceByOffsetting(*position)


def check_comparable(pair: RegisteredPair) -> None:
    """Checks that a pair can be compared.

    Raises:
        InputError: a volume is missing or without an image, or the warped one has another grid than the fixed one.
    """
    if not pair.is_in_scene:
        raise InputError("register first: there is no warped volume to compare with")
    (size, place), (other_size, other_place) = (_grid_of(node) for node in (pair.fixed, pair.warped))
    same = size == other_size and np.allclose(place, other_place, atol=1e-3)
    if not same:
        raise InputError(f"{pair.warped.GetName()}: has another grid than {pair.fixed.GetName()}; register again")


def _grid_of(node: slicer.vtkMRMLVolumeNode) -> tuple[tuple[int, ...], np.ndarray]:
    """Returns the size and the matrix (4, 4) of a volume's voxels.

    Raises:
        InputError: it holds no image.
    """
    if node.GetImageData() is None:
        raise InputError(f"{node.GetName()}: the volume holds no image")
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return node.GetImageData().GetDimensions(), from_vtk_matrix(matrix)


def _is_label_map(node: slicer.vtkMRMLNode | None) -> bool:
    return node is not None and node.IsA("vtkMRMLLabelMapVolumeNode")


def _set_composite(
    node: slicer.vtkMRMLSliceCompositeNode,
    background: str | None,
    foreground: str | None,
    labels: str | None,
    opacity: float,
) -> None:
    was_modifying = node.StartModify()
    node.SetBackgroundVolumeID(background)
    node.SetForegroundVolumeID(foreground)
    node.SetLabelVolumeID(labels)
    node.SetForegroundOpacity(opacity)
    node.EndModify(was_modifying)


def _temporary_nodes(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLNode]:
    nodes = nodes_of_class(scene, "vtkMRMLVolumeNode")
    return [node for node in nodes if node.GetAttribute(_TEMPORARY)]


def _keep_display(node: slicer.vtkMRMLSegmentationNode) -> None:
    """Keeps the display of a segmentation in an attribute, which is saved with it."""
    display = node.GetDisplayNode()
    if display.GetAttribute(_DISPLAY_BEFORE):
        return
    before = {
        "visible": display.GetVisibility(),
        "fill": display.GetVisibility2DFill(),
        "outline": display.GetVisibility2DOutline(),
        "colors": {one: list(display.GetSegmentOverrideColor(one)) for one in node.GetSegmentation().GetSegmentIDs()},
    }
    display.SetAttribute(_DISPLAY_BEFORE, json.dumps(before))


def _put_back_display(display: slicer.vtkMRMLSegmentationDisplayNode) -> None:
    """Puts the display of a segmentation back; does nothing where that was done already."""
    text, node = display.GetAttribute(_DISPLAY_BEFORE), display.GetDisplayableNode()
    if not text or display.GetScene() is None or node is None or node.GetScene() is None:
        return
    display.RemoveAttribute(_DISPLAY_BEFORE)
    before = json.loads(text)
    display.SetVisibility(before["visible"])
    display.SetVisibility2DFill(before["fill"])
    display.SetVisibility2DOutline(before["outline"])
    for one in set(node.GetSegmentation().GetSegmentIDs()) & set(before["colors"]):
        color = before["colors"][one]
        if min(color) < 0:
            display.UnsetSegmentOverrideColor(one)
        else:
            display.SetSegmentOverrideColor(one, *color)
