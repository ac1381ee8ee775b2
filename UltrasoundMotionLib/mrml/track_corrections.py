"""Corrections of tracked points: which points a user moved, and where the points lie on a frame."""

from __future__ import annotations

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm, ras_mm_to_pixels
from UltrasoundMotionLib.mrml.markups_items import loose_copy
from UltrasoundMotionLib.mrml.point_state import best_guess_in, tracked_position_in
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes

_MOVED_PX = 0.01
"""Smaller differences are rounding in a saved scene."""


def corrected_labels(landmarks: SequenceNodes, sequence: ImageSequence, frame: int) -> tuple[str, ...]:
    """Returns the labels of the points that a user dragged, or placed after they were lost, on a frame.

    Args:
        landmarks: a point list that `add_landmarks` made.
        sequence: the clip, for its geometry.
    """
    item = landmarks.sequence.GetNthDataNode(frame)
    corrected = []
    for control in range(item.GetNumberOfControlPoints()):
        if not _is_placed(item, control):
            continue
        state = item.GetNthControlPointDescription(control)
        tracked = tracked_position_in(state)
        placed = ras_mm_to_pixels(sequence, np.array(item.GetNthControlPointPosition(control)))
        if best_guess_in(state) is not None or (tracked is not None and np.abs(placed - tracked).max() > _MOVED_PX):
            corrected.append(item.GetNthControlPointLabel(control))
    return tuple(corrected)


def place_lost_points(landmarks: SequenceNodes, sequence: ImageSequence, frame: int) -> tuple[str, ...]:
    """Places the missing points of a frame at the tracker's best guess, to be dragged; returns their labels.

    A point that was never reached on that frame has no guess and stays missing.
    """
    item = loose_copy(landmarks.sequence.GetNthDataNode(frame))
    placed = []
    for control in range(item.GetNumberOfControlPoints()):
        guess = best_guess_in(item.GetNthControlPointDescription(control))
        if guess is not None and not _is_placed(item, control):
            item.SetNthControlPointPosition(control, *pixels_to_ras_mm(sequence, np.array(guess)))
            placed.append(item.GetNthControlPointLabel(control))
    if placed:
        landmarks.sequence.UpdateDataNodeAtValue(item, landmarks.sequence.GetNthIndexValue(frame))
    return tuple(placed)


def placed_labels(landmarks: SequenceNodes, frame: int) -> tuple[str, ...]:
    """Returns the labels of the points that are not missing on a frame."""
    item = landmarks.sequence.GetNthDataNode(frame)
    placed = [control for control in range(item.GetNumberOfControlPoints()) if _is_placed(item, control)]
    return tuple(item.GetNthControlPointLabel(control) for control in placed)


def points_on_frame(
    landmarks: SequenceNodes, sequence: ImageSequence, frame: int, labels: tuple[str, ...]
) -> np.ndarray:
    """Returns the positions (N, 2) in pixels of the points of these labels on a frame.

    Raises:
        InputError: a point is missing on that frame.
    """
    item = landmarks.sequence.GetNthDataNode(frame)
    positions = []
    for label in labels:
        control = item.GetControlPointIndexByLabel(label)
        if control < 0 or not _is_placed(item, control):
            raise InputError(
                f"{landmarks.proxy.GetName()}: {label} is not placed on frame {frame};"
                " drag it to where it is, or choose another frame"
            )
        positions.append(item.GetNthControlPointPosition(control))
    return ras_mm_to_pixels(sequence, np.array(positions))


def _is_placed(item: slicer.vtkMRMLMarkupsNode, control: int) -> bool:
    return item.GetNthControlPointPositionStatus(control) == slicer.vtkMRMLMarkupsNode.PositionDefined
