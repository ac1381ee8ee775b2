"""The bull's-eye as Slicer shows it natively: an image whose pixels are strain, in the colours of strain, with the
numbers as point labels.

An image (and no model or picture) because a slice view shows it flat, Slicer tells the strain under the mouse, its
colour legend fits, it is saved with the scene, and nothing but numpy is needed to draw it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS
from UltrasoundMotionLib.mrml.node_removal import remove_node
from UltrasoundMotionLib.mrml.strain_scale import REJECTED_PERCENT, add_color_legend, strain_color_node
from UltrasoundMotionLib.mrml.views import show_as_acquired, view_node
from UltrasoundMotionLib.mrml.volume_nodes import fill_volume
from UltrasoundMotionLib.pictures.bulls_eye import bulls_eye_fields
from UltrasoundMotionLib.pictures.strain_colors import STRAIN_LIMIT_PERCENT

NAME = "Strain bull's-eye"
ATTRIBUTE = "UltrasoundMotion.BullsEye"
SIZE = 400
REACH = 1.15
"""The image shows this much around a bull's-eye of radius 1."""

GAP = 0.012
"""Width of the lines between fields, in the same unit."""

HEIGHT_MM = 1000.0
"""Where it lies, so far off that no slice through a clip meets its numbers, and no slice through it a clip's landmarks.
"""

OUTSIDE = 1000.0
"""The value of pixels that belong to no measured segment; they are not shown."""


@dataclass(frozen=True)
class BullsEyeNodes:
    """The bull's-eye in the scene.

    Attributes:
        image: strain in percent at every pixel.
        numbers: a point with the number as its label in each segment.
    """

    image: slicer.vtkMRMLScalarVolumeNode
    numbers: slicer.vtkMRMLMarkupsFiducialNode

    def remove(self) -> None:
        """Takes it out of the scene, and out of the views first: they would give it another display node while it goes."""
        for composite in _nodes(self.image.GetScene(), "vtkMRMLSliceCompositeNode"):
            if composite.GetBackgroundVolumeID() == self.image.GetID():
                composite.SetBackgroundVolumeID(None)
        remove_node(self.image)
        remove_node(self.numbers)


def find_bulls_eye(scene: slicer.vtkMRMLScene) -> BullsEyeNodes | None:
    """The scene's bull's-eye, or None."""
    found = {}
    for name in ("vtkMRMLScalarVolumeNode", "vtkMRMLMarkupsFiducialNode"):
        found[name] = next((node for node in _nodes(scene, name) if node.GetAttribute(ATTRIBUTE)), None)
    image, numbers = found.values()
    return BullsEyeNodes(image, numbers) if image is not None and numbers is not None else None


def put_bulls_eye(scene: slicer.vtkMRMLScene, percent: Mapping[int, float], segment_count: int) -> BullsEyeNodes:
    """Draws strain in the scene's bull's-eye, added if it has none.

    Args:
        percent: strain of the segments that were looked at, by number; NaN is a rejected one (grey). A missing one was
            in no view and stays empty.
        segment_count: 16, 17 or 18.

    Raises:
        InputError: another number of segments.
    """
    drawing = bulls_eye_image(percent, segment_count)
    nodes = find_bulls_eye(scene) or _add(scene)
    fill_volume(nodes.image, _volume(drawing))
    display = nodes.image.GetDisplayNode()
    display.SetAndObserveColorNodeID(strain_color_node(scene).GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(REJECTED_PERCENT, STRAIN_LIMIT_PERCENT)
    display.SetThreshold(-OUTSIDE / 2, OUTSIDE / 2)
    display.SetApplyThreshold(True)
    display.SetInterpolate(False)
    if nodes.image.GetNumberOfDisplayNodes() == 1:
        add_color_legend(nodes.image, "end-systolic strain (%)")
    was_modifying = nodes.numbers.StartModify()
    nodes.numbers.RemoveAllControlPoints()
    for field in bulls_eye_fields(segment_count):
        if field.number in percent:
            value = percent[field.number]
            text = f"{value:.0f}".replace("-", "\u2212") if np.isfinite(value) else "\u00d7"
            nodes.numbers.AddControlPoint(*_place(np.array(field.middle)), text)
    nodes.numbers.SetLocked(True)
    nodes.numbers.EndModify(was_modifying)
    return nodes


def show_bulls_eye(nodes: BullsEyeNodes, view_name: str = "Yellow") -> None:
    """Shows it in a slice view, from which the coloured walls go: they are painted in every slice view, wherever its
    slice lies.
    """
    scene = nodes.image.GetScene()
    view = show_as_acquired(scene, nodes.image, view_name)
    others = [
        node.GetID()
        for name in ("vtkMRMLSliceNode", "vtkMRMLViewNode")
        for node in _nodes(scene, name)
        if node is not view
    ]
    for display in _wall_displays(scene):
        display.RemoveAllViewNodeIDs()
        for other in others:
            display.AddViewNodeID(other)


def hide_bulls_eye(nodes: BullsEyeNodes, view_name: str = "Yellow") -> None:
    """Undoes `show_bulls_eye`."""
    scene = nodes.image.GetScene()
    composite = view_node(scene, "vtkMRMLSliceCompositeNode", view_name)
    if composite.GetBackgroundVolumeID() == nodes.image.GetID():
        composite.SetBackgroundVolumeID(None)
    for display in _wall_displays(scene):
        display.RemoveAllViewNodeIDs()


def _wall_displays(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLModelDisplayNode]:
    colors = strain_color_node(scene).GetID()
    return [node for node in _nodes(scene, "vtkMRMLModelDisplayNode") if node.GetColorNodeID() == colors]


def _nodes(scene: slicer.vtkMRMLScene, class_name: str) -> list[slicer.vtkMRMLNode]:
    return [scene.GetNthNodeByClass(number, class_name) for number in range(scene.GetNumberOfNodesByClass(class_name))]


def bulls_eye_image(percent: Mapping[int, float], segment_count: int) -> np.ndarray:
    """(SIZE, SIZE) float32: the strain of the segment at each pixel, anterior at the top; grey's value in a rejected
    one, OUTSIDE elsewhere.
    """
    places = ((np.arange(SIZE) + 0.5) / SIZE * 2 - 1) * REACH
    x, y = places[None, :], -places[:, None]
    radius, angle = np.hypot(x, y), np.rad2deg(np.arctan2(y, x))
    image = np.full((SIZE, SIZE), OUTSIDE, dtype=np.float32)
    for field in bulls_eye_fields(segment_count):
        if field.number not in percent:
            continue
        inside = (radius >= field.inner + GAP * (field.inner > 0)) & (radius <= field.outer - GAP)
        half = (field.to_deg - field.from_deg) / 2
        if half < 180:
            off = np.abs((angle - field.from_deg - half + 180) % 360 - 180)
            inside &= radius * np.deg2rad(half - off) > GAP
        value = percent[field.number]
        image[inside] = (
            np.clip(value, -STRAIN_LIMIT_PERCENT, STRAIN_LIMIT_PERCENT) if np.isfinite(value) else REJECTED_PERCENT
        )
    return image


def _add(scene: slicer.vtkMRMLScene) -> BullsEyeNodes:
    image = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(NAME))
    numbers = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", scene.GenerateUniqueName(f"{NAME} numbers"))
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
        node.SetAttribute(ATTRIBUTE, "true")
    return BullsEyeNodes(image, numbers)


def _volume(drawing: np.ndarray) -> Volume:
    pixel = 100.0 * 2 * REACH / SIZE  # mm, of a bull's-eye with a radius of 100 mm
    corner = -100.0 * REACH + pixel / 2
    return Volume(drawing[None], (pixel, pixel, 1.0), (corner, corner, HEIGHT_MM), np.eye(3), NAME)


def _place(middle: np.ndarray) -> np.ndarray:
    return np.array([100.0 * middle[0], -100.0 * middle[1], HEIGHT_MM]) * LPS_TO_RAS
