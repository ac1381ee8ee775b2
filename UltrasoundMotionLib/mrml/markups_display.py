"""Appearance of tracked markups: sizes relative to the image, and the same colour for a point everywhere."""

from __future__ import annotations

import colorsys

import slicer

from UltrasoundMotionLib.images import ImageSequence

LANDMARK_COLOR = (1.0, 0.84, 0.1)
_PLACED_COLOR = (0.35, 0.85, 1.0)
_CURVE_COLOR = (0.2, 0.95, 0.75)
_MAXIMUM_LABELS = 24
"""With more points, labels would hide the image."""


def point_color(number: int) -> tuple[float, float, float]:
    """Returns the colour (red, green, blue in 0 to 1) of point `number`; consecutive numbers differ clearly."""
    return colorsys.hsv_to_rgb((0.13 + number * 0.381966) % 1.0, 0.8, 0.92)


def _image_size_mm(sequence: ImageSequence) -> float:
    """Returns the longer side of the image in mm, or in pixels where the spacing is unknown, as in the scene."""
    return max(
        size * spacing for size, spacing in zip(sequence.frame_size, sequence.spacing_mm or (1.0, 1.0), strict=True)
    )


def show_landmarks(markups: slicer.vtkMRMLMarkupsNode, sequence: ImageSequence, count: int) -> None:
    """Shows `count` points as small discs of a fixed size in mm, with labels unless there are too many."""
    display = markups.GetDisplayNode()
    display.SetGlyphType(slicer.vtkMRMLMarkupsDisplayNode.Circle2D)
    _set_size(display, 0.012 * _image_size_mm(sequence))
    _set_color(display, LANDMARK_COLOR)
    display.SetPointLabelsVisibility(count <= _MAXIMUM_LABELS)
    display.SetTextScale(2.0)


def limit_labels(markups: slicer.vtkMRMLMarkupsNode) -> None:
    """Hides the points' labels where they are so many that they would cover each other and the image."""
    if markups.GetNumberOfControlPoints() > _MAXIMUM_LABELS:
        markups.GetDisplayNode().SetPointLabelsVisibility(False)


def show_placed_points(markups: slicer.vtkMRMLMarkupsNode) -> None:
    """Shows points that a user places in a colour that stands out from the image and from tracked points."""
    if markups.GetDisplayNode() is None:
        markups.CreateDefaultDisplayNodes()
    _set_color(markups.GetDisplayNode(), _PLACED_COLOR)
    markups.GetDisplayNode().SetTextScale(2.0)


def show_curve(
    markups: slicer.vtkMRMLMarkupsNode,
    sequence: ImageSequence,
    color: tuple[float, float, float] = _CURVE_COLOR,
    width: float = 0.004,
) -> None:
    """Shows a curve as a line without points and labels; `width` is relative to the image's longer side."""
    display = markups.GetDisplayNode()
    size = _image_size_mm(sequence)
    _set_size(display, 0.018 * size)
    _set_color(display, color)
    display.SetPointLabelsVisibility(False)
    display.SetPropertiesLabelVisibility(False)
    display.SetCurveLineSizeMode(slicer.vtkMRMLMarkupsDisplayNode.UseLineDiameter)
    display.SetLineDiameter(width * size)


def _set_size(display: slicer.vtkMRMLMarkupsDisplayNode, size_mm: float) -> None:
    display.SetUseGlyphScale(False)
    display.SetGlyphSize(size_mm)


def _set_color(display: slicer.vtkMRMLMarkupsDisplayNode, color: tuple[float, float, float]) -> None:
    display.SetSelectedColor(*color)  # control points are selected by default
    display.SetColor(*color)
    display.SetActiveColor(1.0, 1.0, 1.0)
