"""The bull's-eye as nodes: an image whose pixels are strain, and the numbers as labels of points.

It is an image rather than a model or a picture since a slice view shows it flat, Slicer displays the strain under the
mouse, its colour legend fits, it is saved with the scene, and it is drawn with numpy alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS
from UltrasoundMotionLib.mrml.node_removal import remove_node
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.strain_scale import REJECTED_PERCENT, add_color_legend, strain_color_node
from UltrasoundMotionLib.mrml.views import show_as_acquired, view_node
from UltrasoundMotionLib.mrml.volume_nodes import fill_volume
from UltrasoundMotionLib.pictures.bulls_eye import bulls_eye_fields
from UltrasoundMotionLib.pictures.strain_colors import STRAIN_LIMIT_PERCENT
from UltrasoundMotionLib.steps import Steps, run_steps

_NAME = "Strain bull's-eye"
_DRAWING = "drawing the bull's-eye"
_ATTRIBUTE = "UltrasoundMotion.BullsEye"
_SIZE = 400
_REACH = 1.15
"""Half the width of the image, relative to the radius of the bull's-eye."""

_GAP = 0.012
"""Width of the lines between segments, relative to the radius."""

_HEIGHT_MM = 1000.0
"""Position along z, so far away that no slice through a clip shows its numbers, nor the reverse."""

OUTSIDE = 1000.0
"""Value of pixels outside every segment, which are not shown."""


@dataclass(frozen=True)
class BullsEyeNodes:
    """Nodes of the bull's-eye in a scene.

    Attributes:
        image: strain in percent at every pixel.
        numbers: a point in each segment, labelled with its strain.
    """

    image: slicer.vtkMRMLScalarVolumeNode
    numbers: slicer.vtkMRMLMarkupsFiducialNode

    def check_in_scene(self) -> None:
        """Raises InputError where the user has removed it from the scene."""
        if None in (self.image.GetScene(), self.numbers.GetScene()):
            raise InputError(f"{self.image.GetName()}: was removed from the scene in the meantime")

    def remove(self) -> None:
        """Removes it from the scene. Views release it first, or they would give it a new display node meanwhile."""
        for composite in nodes_of_class(self.image.GetScene(), "vtkMRMLSliceCompositeNode"):
            if composite.GetBackgroundVolumeID() == self.image.GetID():
                composite.SetBackgroundVolumeID(None)
        remove_node(self.image)
        remove_node(self.numbers)


def find_bulls_eye(scene: slicer.vtkMRMLScene) -> BullsEyeNodes | None:
    """Returns the scene's bull's-eye, or None."""
    found = {}
    for name in ("vtkMRMLScalarVolumeNode", "vtkMRMLMarkupsFiducialNode"):
        found[name] = next((node for node in nodes_of_class(scene, name) if node.GetAttribute(_ATTRIBUTE)), None)
    image, numbers = found.values()
    return BullsEyeNodes(image, numbers) if image is not None and numbers is not None else None


def put_bulls_eye(scene: slicer.vtkMRMLScene, percent: Mapping[int, float], segment_count: int) -> BullsEyeNodes:
    """`putting_bulls_eye` at once."""
    return run_steps(putting_bulls_eye(scene, percent, segment_count))


def putting_bulls_eye(
    scene: slicer.vtkMRMLScene, percent: Mapping[int, float], segment_count: int
) -> Steps[BullsEyeNodes]:
    """Draws strain in the scene's bull's-eye, which is added if missing.

    Args:
        percent: strain of each imaged segment by number; NaN marks a rejected segment (grey). A segment that no view
            shows is left out and stays empty.
        segment_count: 16, 17 or 18.

    Raises:
        InputError: another number of segments.
    """
    yield 0, 4, _DRAWING
    drawing = bulls_eye_image(percent, segment_count)
    yield 1, 4, _DRAWING
    nodes = find_bulls_eye(scene) or _add(scene)
    yield 2, 4, _DRAWING
    nodes.check_in_scene()
    fill_volume(nodes.image, _volume(drawing), levels=(REJECTED_PERCENT, STRAIN_LIMIT_PERCENT))
    display = nodes.image.GetDisplayNode()
    was_modifying = display.StartModify()
    display.SetAndObserveColorNodeID(strain_color_node(scene).GetID())
    display.SetThreshold(-OUTSIDE / 2, OUTSIDE / 2)
    display.SetApplyThreshold(True)
    display.SetInterpolate(False)
    display.EndModify(was_modifying)
    if nodes.image.GetNumberOfDisplayNodes() == 1:
        add_color_legend(nodes.image, "end-systolic strain (%)")
    yield 3, 4, _DRAWING
    nodes.check_in_scene()
    was_modifying = nodes.numbers.StartModify()
    nodes.numbers.RemoveAllControlPoints()
    for field in bulls_eye_fields(segment_count):
        if field.number in percent:
            value = percent[field.number]
            text = f"{value:.0f}".replace("-", "\u2212") if np.isfinite(value) else "\u00d7"
            nodes.numbers.AddControlPoint(*_ras_position(np.array(field.middle)), text)
    nodes.numbers.SetLocked(True)
    nodes.numbers.EndModify(was_modifying)
    return nodes


def show_bulls_eye(nodes: BullsEyeNodes, view_name: str = "Yellow") -> None:
    """Shows it in a slice view and hides coloured walls there, which Slicer paints in every slice view."""
    scene = nodes.image.GetScene()
    view = show_as_acquired(scene, nodes.image, view_name)
    others = [
        node.GetID()
        for name in ("vtkMRMLSliceNode", "vtkMRMLViewNode")
        for node in nodes_of_class(scene, name)
        if node is not view
    ]
    for display in _wall_displays(scene):
        display.RemoveAllViewNodeIDs()
        for other in others:
            display.AddViewNodeID(other)


def hide_bulls_eye(nodes: BullsEyeNodes, view_name: str = "Yellow") -> None:
    """Removes it from the slice view and shows coloured walls in all views again."""
    scene = nodes.image.GetScene()
    composite = view_node(scene, "vtkMRMLSliceCompositeNode", view_name)
    if composite.GetBackgroundVolumeID() == nodes.image.GetID():
        composite.SetBackgroundVolumeID(None)
    for display in _wall_displays(scene):
        display.RemoveAllViewNodeIDs()


def _wall_displays(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLModelDisplayNode]:
    colors = strain_color_node(scene).GetID()
    return [node for node in nodes_of_class(scene, "vtkMRMLModelDisplayNode") if node.GetColorNodeID() == colors]


def bulls_eye_image(percent: Mapping[int, float], segment_count: int) -> np.ndarray:
    """Returns the strain at each pixel (400, 400) float32, anterior at the top.

    Rejected segments hold `REJECTED_PERCENT`, other pixels `OUTSIDE`.
    """
    places = ((np.arange(_SIZE) + 0.5) / _SIZE * 2 - 1) * _REACH
    x, y = places[None, :], -places[:, None]
    radius, angle = np.hypot(x, y), np.rad2deg(np.arctan2(y, x))
    image = np.full((_SIZE, _SIZE), OUTSIDE, dtype=np.float32)
    for field in bulls_eye_fields(segment_count):
        if field.number not in percent:
            continue
        inside = (radius >= field.inner + _GAP * (field.inner > 0)) & (radius <= field.outer - _GAP)
        half = (field.to_deg - field.from_deg) / 2
        if half < 180:
            off = np.abs((angle - field.from_deg - half + 180) % 360 - 180)
            inside &= radius * np.deg2rad(half - off) > _GAP
        value = percent[field.number]
        image[inside] = (
            np.clip(value, -STRAIN_LIMIT_PERCENT, STRAIN_LIMIT_PERCENT) if np.isfinite(value) else REJECTED_PERCENT
        )
    return image


def _add(scene: slicer.vtkMRMLScene) -> BullsEyeNodes:
    image = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(_NAME))
    numbers = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", scene.GenerateUniqueName(f"{_NAME} numbers"))
    numbers.CreateDefaultDisplayNodes()
    display = numbers.GetDisplayNode()
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(0.01)
    display.SetTextScale(3.5)
    display.GetTextProperty().SetJustificationToCentered()
    display.SetVisibility3D(False)
    for set_color in (display.SetSelectedColor, display.SetColor, display.SetActiveColor):
        set_color(1.0, 1.0, 1.0)
    for node in (image, numbers):
        node.SetAttribute(_ATTRIBUTE, "true")
    return BullsEyeNodes(image, numbers)


def _volume(drawing: np.ndarray) -> Volume:
    pixel = 100.0 * 2 * _REACH / _SIZE  # mm; the radius is 100 mm
    corner = -100.0 * _REACH + pixel / 2
    return Volume(drawing[None], (pixel, pixel, 1.0), (corner, corner, _HEIGHT_MM), np.eye(3), _NAME)


def _ras_position(middle: np.ndarray) -> np.ndarray:
    """RAS mm of a point (x, y) of the bull's-eye of radius 1."""
    return np.array([100.0 * middle[0], -100.0 * middle[1], _HEIGHT_MM]) * LPS_TO_RAS
