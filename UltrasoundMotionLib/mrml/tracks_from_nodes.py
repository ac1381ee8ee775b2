"""Points that a user placed, and tracks that a user corrected, read from nodes in the image's pixels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import slicer
import vtk

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS, ras_mm_to_pixels
from UltrasoundMotionLib.mrml.markups_items import MODEL_ATTRIBUTE, QUERY_FRAME_ATTRIBUTE
from UltrasoundMotionLib.mrml.point_state import NOT_REACHED, best_guess_in, confidence_in
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.steps import Steps, run_steps
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


@dataclass(frozen=True)
class PlacedPoints:
    """Points that a user placed on a clip.

    Attributes:
        labels: N labels.
        points_px: (N, 2) float64 (x, y) in pixels.
        distance_mm: (N,) distance from the image plane, signed along the image's normal.
    """

    labels: tuple[str, ...]
    points_px: np.ndarray
    distance_mm: np.ndarray


def query_points_from_markups(
    markups: slicer.vtkMRMLMarkupsNode, image: SequenceNodes, sequence: ImageSequence
) -> PlacedPoints:
    """Returns the placed control points of a markups node in the pixels of a clip; both may be under transforms.

    Raises:
        InputError: no point is placed, or two have the same label.
    """
    to_image = _transform_between(markups, image.proxy)
    defined = [control for control in range(markups.GetNumberOfControlPoints()) if _is_defined(markups, control)]
    if not defined:
        raise InputError(f"{markups.GetName()}: holds no placed points; place at least one on the image")
    labels = tuple(markups.GetNthControlPointLabel(control) or f"{control + 1}" for control in defined)
    repeated = [label for label, count in Counter(labels).items() if count > 1]
    if repeated:
        raise InputError(
            f"{markups.GetName()}: {Counter(labels)[repeated[0]]} points are called {repeated[0]!r};"
            " give each its own label"
        )
    ras = np.array([_position(markups, control, to_image) for control in defined])
    offsets = ras * LPS_TO_RAS - np.asarray(sequence.origin_mm)
    return PlacedPoints(labels, ras_mm_to_pixels(sequence, ras), offsets @ sequence.direction[:, 2])


def tracks_from_markups(markups: SequenceNodes, image: SequenceNodes, sequence: ImageSequence) -> PointTracks:
    """`reading_tracks` at once."""
    return run_steps(reading_tracks(markups, image, sequence))


def reading_tracks(markups: SequenceNodes, image: SequenceNodes, sequence: ImageSequence) -> Steps[PointTracks]:
    """Returns a markups sequence, corrections included, as tracks on the clip.

    A missing point is not visible. It keeps the tracker's best guess where its description states one, else it is
    interpolated in time between the frames where the point is placed. A frame that was never reached holds NaN. A
    placed point has the confidence that its description states, or 1 where a user placed a lost point.

    Raises:
        InputError: the number of items differs from the frames', or the number of points between items.
    """
    name = markups.sequence.GetName()
    items = [markups.sequence.GetNthDataNode(item) for item in range(markups.sequence.GetNumberOfDataNodes())]
    if len(items) != len(sequence):
        raise InputError(f"{name}: {len(items)} items for a clip of {len(sequence)} frames, whose frames were changed")
    labels = tuple(items[0].GetNthControlPointLabel(control) for control in range(items[0].GetNumberOfControlPoints()))
    to_image = _transform_between(markups.proxy, image.proxy)
    shape = (len(items), len(labels))
    positions, confidence, visible = np.full((*shape, 2), np.nan), np.zeros(shape), np.zeros(shape, dtype=bool)
    reached = np.ones(len(items), dtype=bool)
    for frame, item in enumerate(items):
        yield frame, len(items), "reading the points"
        if item.GetNumberOfControlPoints() != len(labels):
            raise InputError(
                f"{name}: item {frame} has {item.GetNumberOfControlPoints()} points, the first has {len(labels)}"
            )
        states = [item.GetNthControlPointDescription(control) for control in range(len(labels))]
        visible[frame] = [_is_defined(item, control) for control in range(len(labels))]
        reached[frame] = bool(visible[frame].any()) or not all(state == NOT_REACHED for state in states)
        for control, state in enumerate(states):
            stated, guess = confidence_in(state), best_guess_in(state)
            if visible[frame, control]:
                positions[frame, control] = ras_mm_to_pixels(sequence, _position(item, control, to_image))
                confidence[frame, control] = 1.0 if guess is not None or stated is None else stated
            elif guess is not None:
                positions[frame, control] = guess
                confidence[frame, control] = stated or 0.0
    _interpolate_lost(positions, reached)
    return PointTracks(
        positions_px=positions,
        confidence=confidence,
        visible=visible,
        labels=labels,
        query_frame=int(markups.sequence.GetAttribute(QUERY_FRAME_ATTRIBUTE) or 0),
        times_s=sequence.times_s,
        spacing_mm=sequence.spacing_mm,
        model=markups.sequence.GetAttribute(MODEL_ATTRIBUTE) or "",
    )


def _interpolate_lost(positions: np.ndarray, reached: np.ndarray) -> None:
    frames = np.arange(len(positions))
    for point in range(positions.shape[1]):
        known = np.isfinite(positions[:, point, 0])
        lost = ~known & reached
        if known.any():
            for axis in range(2):
                positions[lost, point, axis] = np.interp(frames[lost], frames[known], positions[known, point, axis])


def _is_defined(markups: slicer.vtkMRMLMarkupsNode, control: int) -> bool:
    return markups.GetNthControlPointPositionStatus(control) == slicer.vtkMRMLMarkupsNode.PositionDefined


def _transform_between(
    source: slicer.vtkMRMLTransformableNode, target: slicer.vtkMRMLTransformableNode
) -> vtk.vtkGeneralTransform | None:
    """Returns the transform between the own coordinates of two nodes, or None where they are the same."""
    if source.GetTransformNodeID() == target.GetTransformNodeID():
        return None
    transform = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        source.GetParentTransformNode(), target.GetParentTransformNode(), transform
    )
    return transform


def _position(markups: slicer.vtkMRMLMarkupsNode, control: int, to_image: vtk.vtkGeneralTransform | None) -> np.ndarray:
    position = markups.GetNthControlPointPosition(control)
    return np.array(to_image.TransformPoint(position) if to_image is not None else position)
