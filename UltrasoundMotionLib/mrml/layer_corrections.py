"""Corrections of a tracked point list in the scene: kept in its sequence node, written into its items."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm, ras_mm_to_pixels
from UltrasoundMotionLib.mrml.markups_items import QUERY_FRAME_ATTRIBUTE, loose_copy, store_item
from UltrasoundMotionLib.mrml.point_state import NOT_REACHED, best_guess_in, tracked_position_in
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.track_corrections import corrected_labels, placed_labels, points_on_frame
from UltrasoundMotionLib.tracking.corrections.corrections import Correction

_CORRECTIONS_ATTRIBUTE = "UltrasoundMotion.Corrections"
_TRACKED_ATTRIBUTE = "UltrasoundMotion.TrackedCorrections"
_DISAGREEMENT_ATTRIBUTE = "UltrasoundMotion.Disagreement"
_ATTRIBUTES = (_CORRECTIONS_ATTRIBUTE, _TRACKED_ATTRIBUTE, _DISAGREEMENT_ATTRIBUTE)
_MARKED_LOST = "marked as lost"


@dataclass(frozen=True)
class PointState:
    """A control point of one item: all that a correction may change."""

    label: str
    status: int
    position: tuple[float, float, float]
    description: str


FrameState = tuple[PointState, ...]
"""The control points of one item, in their order."""


def layer_corrections(landmarks: SequenceNodes, sequence: ImageSequence) -> tuple[Correction, ...]:
    """Returns the corrections of a tracked point list, those of the frame on which the points were placed included.

    Before the first correction these are the points placed on the frame that the run started from.
    """
    return _read(landmarks, sequence, _CORRECTIONS_ATTRIBUTE)


def store_corrections(
    landmarks: SequenceNodes, sequence: ImageSequence, corrections: Iterable[Correction], *, tracked: bool = False
) -> None:
    """Stores corrections in the sequence node, where they are saved with the scene.

    Args:
        tracked: the points have been followed through them.
    """
    node, before = landmarks.sequence, _read(landmarks, sequence, _TRACKED_ATTRIBUTE)
    corrections = tuple(corrections)
    was_modifying = node.StartModify()
    node.SetAttribute(_CORRECTIONS_ATTRIBUTE, _to_text(corrections))
    node.SetAttribute(_TRACKED_ATTRIBUTE, _to_text(corrections if tracked else before))
    node.EndModify(was_modifying)


def has_own_corrections(landmarks: SequenceNodes) -> bool:
    """Returns True where a user has corrected the list since its run."""
    return landmarks.sequence.GetAttribute(_CORRECTIONS_ATTRIBUTE) is not None


def untracked_labels(landmarks: SequenceNodes, sequence: ImageSequence) -> tuple[str, ...]:
    """Returns the labels of the points whose corrections have changed since they were last followed."""
    now, before = (
        {(one.frame, one.label, one.position_px) for one in _read(landmarks, sequence, name)}
        for name in (_CORRECTIONS_ATTRIBUTE, _TRACKED_ATTRIBUTE)
    )
    changed = {label for _, label, _ in now ^ before}
    return tuple(label for label in labels_of(landmarks) if label in changed)


def labels_of(landmarks: SequenceNodes) -> tuple[str, ...]:
    """Returns the labels of all points, in their order."""
    item = landmarks.sequence.GetNthDataNode(0)
    return tuple(item.GetNthControlPointLabel(control) for control in range(item.GetNumberOfControlPoints()))


def stored_attributes(landmarks: SequenceNodes) -> dict[str, str | None]:
    """Returns everything that is stored on corrections, to be put back by `restore_attributes`."""
    return {name: landmarks.sequence.GetAttribute(name) for name in _ATTRIBUTES}


def restore_attributes(landmarks: SequenceNodes, stored: Mapping[str, str | None]) -> None:
    """Puts back what `stored_attributes` returned."""
    was_modifying = landmarks.sequence.StartModify()
    for name, value in stored.items():
        if value is None:
            landmarks.sequence.RemoveAttribute(name)
        else:
            landmarks.sequence.SetAttribute(name, value)
    landmarks.sequence.EndModify(was_modifying)


def tracked_again(
    corrections: Iterable[Correction], frame: int, labels: Sequence[str], points_px: np.ndarray, direction: str
) -> tuple[Correction, ...]:
    """Returns the corrections after points were followed anew from a frame: those that lay ahead are gone.

    Args:
        points_px: (N, 2), where the points lie on that frame.
        direction: "forward" or "backward".
    """
    sign = -1 if direction == "backward" else 1
    kept = [one for one in corrections if one.label not in labels or sign * one.frame < sign * frame]
    new = [Correction(frame, label, (x, y)) for label, (x, y) in zip(labels, points_px.tolist(), strict=True)]
    return with_corrections(kept, new)


def with_corrections(before: Iterable[Correction], new: Iterable[Correction]) -> tuple[Correction, ...]:
    """Returns the corrections with the new ones, which replace those of the same point and frame."""
    merged = {(one.frame, one.label): one for one in before}
    merged.update({(one.frame, one.label): one for one in new})
    return tuple(merged[key] for key in sorted(merged))


def without_corrections(before: Iterable[Correction], removed: Iterable[tuple[int, str]]) -> tuple[Correction, ...]:
    """Returns the corrections but those of some (frame, label)."""
    gone = set(removed)
    return tuple(one for one in before if (one.frame, one.label) not in gone)


def moved_points(landmarks: SequenceNodes, sequence: ImageSequence, frame: int) -> tuple[Correction, ...]:
    """Returns the points that a user dragged, or placed after they were lost, on a frame, as corrections."""
    labels = corrected_labels(landmarks, sequence, frame)
    positions = points_on_frame(landmarks, sequence, frame, labels).tolist() if labels else []
    return tuple(Correction(frame, label, (x, y)) for label, (x, y) in zip(labels, positions, strict=True))


def accepted_points(
    landmarks: SequenceNodes, sequence: ImageSequence, frame: int, labels: Sequence[str] | None = None
) -> tuple[Correction, ...]:
    """Returns the points placed on a frame (all, or some) as accepted where they are."""
    placed = placed_labels(landmarks, frame)
    chosen = tuple(label for label in placed if labels is None or label in labels)
    positions = points_on_frame(landmarks, sequence, frame, chosen).tolist() if chosen else []
    return tuple(Correction(frame, label, (x, y), True) for label, (x, y) in zip(chosen, positions, strict=True))


def frame_state(landmarks: SequenceNodes, frame: int) -> FrameState:
    """Returns the control points of a frame."""
    item = landmarks.sequence.GetNthDataNode(frame)
    return tuple(
        PointState(
            item.GetNthControlPointLabel(control),
            item.GetNthControlPointPositionStatus(control),
            tuple(item.GetNthControlPointPosition(control)),
            item.GetNthControlPointDescription(control),
        )
        for control in range(item.GetNumberOfControlPoints())
    )


def set_frame_state(landmarks: SequenceNodes, frame: int, state: FrameState) -> None:
    """Writes the control points of a frame; points are added or removed where their number differs.

    Call `sequence.InvokePendingModifiedEvent()` after the last frame.
    """
    item = loose_copy(landmarks.sequence.GetNthDataNode(frame))
    markups = slicer.vtkMRMLMarkupsNode
    was_modifying = item.StartModify()
    item.SetFixedNumberOfControlPoints(False)
    shown = item.GetNthControlPointVisibility(0) if item.GetNumberOfControlPoints() else True
    while item.GetNumberOfControlPoints() > len(state):
        item.RemoveNthControlPoint(item.GetNumberOfControlPoints() - 1)
    while item.GetNumberOfControlPoints() < len(state):
        item.AddControlPoint(0.0, 0.0, 0.0, "")
        item.SetNthControlPointVisibility(item.GetNumberOfControlPoints() - 1, shown)
    for control, point in enumerate(state):
        item.SetNthControlPointLabel(control, point.label)
        item.SetNthControlPointPosition(control, *point.position)
        if point.status == markups.PositionMissing:
            item.SetNthControlPointPositionMissing(control)
        elif point.status == markups.PositionUndefined:
            item.UnsetNthControlPointPosition(control)
        item.SetNthControlPointDescription(control, point.description)
    item.SetFixedNumberOfControlPoints(True)
    item.EndModify(was_modifying)
    store_item(landmarks, item, frame)


def lost_state(state: FrameState, sequence: ImageSequence, labels: Iterable[str]) -> FrameState:
    """Returns the control points of a frame with some marked as lost, their positions kept as the best guess."""
    wanted = set(labels)
    return tuple(_marked_lost(point, sequence) if point.label in wanted else point for point in state)


def _marked_lost(point: PointState, sequence: ImageSequence) -> PointState:
    guess = _guess(point, sequence)
    text = NOT_REACHED
    if guess is not None:
        text = f"{_MARKED_LOST}, not visible, confidence 0, perhaps at x {guess[0]:.6f} y {guess[1]:.6f} px"
    return PointState(point.label, slicer.vtkMRMLMarkupsNode.PositionMissing, point.position, text)


def found_state(state: FrameState, sequence: ImageSequence, label: str) -> FrameState:
    """Returns the control points of a frame with one that was lost back at its best guess, with confidence 0."""
    changed = []
    for point in state:
        guess = best_guess_in(point.description)
        if point.label == label and guess is not None:
            x, y, z = pixels_to_ras_mm(sequence, np.array(guess)).tolist()
            text = f"confidence 0, tracked to x {guess[0]:.6f} y {guess[1]:.6f} px"
            changed.append(PointState(label, slicer.vtkMRMLMarkupsNode.PositionDefined, (x, y, z), text))
        else:
            changed.append(point)
    return tuple(changed)


def placed_state(
    state: FrameState, sequence: ImageSequence, label: str, position_px: tuple[float, float]
) -> FrameState:
    """Returns the control points of a frame with one placed by the user; a new label adds a point."""
    x, y, z = pixels_to_ras_mm(sequence, np.array(position_px)).tolist()
    text = f"confidence 1, tracked to x {position_px[0]:.6f} y {position_px[1]:.6f} px"
    placed = PointState(label, slicer.vtkMRMLMarkupsNode.PositionDefined, (x, y, z), text)
    if any(point.label == label for point in state):
        return tuple(placed if point.label == label else point for point in state)
    return (*state, placed)


def unreached_state(state: FrameState, label: str) -> FrameState:
    """Returns the control points of a frame with a new one that has not been followed there yet."""
    missing = slicer.vtkMRMLMarkupsNode.PositionMissing
    return (*state, PointState(label, missing, (0.0, 0.0, 0.0), NOT_REACHED))


def nearest_label(
    landmarks: SequenceNodes, sequence: ImageSequence, frame: int, position_px: np.ndarray, within_px: float
) -> str | None:
    """Returns the label of the point nearest to a position (2,) on a frame, its best guess where it is lost; None where
    none lies within the distance.
    """
    found, nearest = None, within_px
    for point in frame_state(landmarks, frame):
        guess = _guess(point, sequence)
        distance = np.inf if guess is None else float(np.linalg.norm(np.array(guess) - position_px))
        if distance <= nearest:
            found, nearest = point.label, distance
    return found


def free_label(landmarks: SequenceNodes) -> str:
    """Returns the first of P1, P2 ... that no point has."""
    taken = set(labels_of(landmarks))
    return next(f"P{number}" for number in range(1, len(taken) + 2) if f"P{number}" not in taken)


def store_disagreement(landmarks: SequenceNodes, labels: Sequence[str], disagreement_px: np.ndarray) -> None:
    """Stores the distance (T, N) of forward and backward tracks, to a tenth of a pixel, for these points."""
    stored = json.loads(landmarks.sequence.GetAttribute(_DISAGREEMENT_ATTRIBUTE) or "{}")
    for label, values in zip(labels, np.asarray(disagreement_px).T.tolist(), strict=True):
        stored[label] = [round(value, 1) if np.isfinite(value) else None for value in values]
    landmarks.sequence.SetAttribute(_DISAGREEMENT_ATTRIBUTE, json.dumps(stored))


def read_disagreement(landmarks: SequenceNodes, labels: Sequence[str]) -> np.ndarray:
    """Returns the distances (T, N) in pixels that `store_disagreement` stored; NaN where there are none."""
    count = landmarks.sequence.GetNumberOfDataNodes()
    stored = json.loads(landmarks.sequence.GetAttribute(_DISAGREEMENT_ATTRIBUTE) or "{}")
    columns = [stored.get(label) or [None] * count for label in labels]
    return np.array(columns, dtype=np.float64).reshape(len(labels), -1).T


def corrections_as_arrays(
    corrections: Iterable[Correction], labels: Sequence[str], frame_count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns masks (T, N): corrected, accepted and marked as lost; corrections of other points are left out."""
    masks = tuple(np.zeros((frame_count, len(labels)), dtype=bool) for _ in range(3))
    column_of = {label: column for column, label in enumerate(labels)}
    for one in corrections:
        if one.label in column_of and 0 <= one.frame < frame_count:
            mask = masks[2] if one.lost else masks[1] if one.accepted else masks[0]
            mask[one.frame, column_of[one.label]] = True
    return masks  # type: ignore[return-value]


def check_label(landmarks: SequenceNodes, label: str) -> None:
    """Checks that a point exists.

    Raises:
        InputError: there is none of that label.
    """
    labels = labels_of(landmarks)
    if label not in labels:
        raise InputError(f"{landmarks.proxy.GetName()}: no point is called {label!r}; there are {', '.join(labels)}")


def check_frame(landmarks: SequenceNodes, frame: int) -> None:
    """Checks that a frame exists.

    Raises:
        InputError: there is none of that number.
    """
    count = landmarks.sequence.GetNumberOfDataNodes()
    if not 0 <= frame < count:
        raise InputError(
            f"{landmarks.proxy.GetName()}: frame {frame} does not exist; there are {count} (0 to {count - 1})"
        )


def check_position(landmarks: SequenceNodes, sequence: ImageSequence, position_px: Sequence[float]) -> None:
    """Checks that a position (x, y) in pixels lies in the image.

    Raises:
        InputError: it does not.
    """
    (x, y), (width, height) = position_px, sequence.frame_size
    if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
        raise InputError(
            f"{landmarks.proxy.GetName()}: ({x:g}, {y:g}) lies outside the image of {width} x {height} pixels"
        )


def _guess(point: PointState, sequence: ImageSequence) -> tuple[float, float] | None:
    if point.status == slicer.vtkMRMLMarkupsNode.PositionDefined:
        x, y = ras_mm_to_pixels(sequence, np.array(point.position)).tolist()
        return x, y
    return best_guess_in(point.description) or tracked_position_in(point.description)


def _read(landmarks: SequenceNodes, sequence: ImageSequence, attribute: str) -> tuple[Correction, ...]:
    stored = landmarks.sequence.GetAttribute(attribute)
    if stored is not None:
        return tuple(_from_plain(entry) for entry in json.loads(stored))
    frame = int(landmarks.sequence.GetAttribute(QUERY_FRAME_ATTRIBUTE) or 0)
    started = []
    for point in frame_state(landmarks, frame):
        position = tracked_position_in(point.description) or _guess(point, sequence)
        if position is not None and point.status == slicer.vtkMRMLMarkupsNode.PositionDefined:
            started.append(Correction(frame, point.label, position))
    return tuple(started)


def _to_text(corrections: Iterable[Correction]) -> str:
    ordered = sorted(corrections, key=lambda one: (one.frame, one.label))
    return json.dumps([_to_plain(one) for one in ordered])


def _to_plain(one: Correction) -> list:
    if one.position_px is None:
        return [one.frame, one.label]
    return [one.frame, one.label, *one.position_px, *([True] if one.accepted else [])]


def _from_plain(entry: list) -> Correction:
    frame, label, *rest = entry
    return Correction(int(frame), str(label), (rest[0], rest[1]) if rest else None, len(rest) > 2)


def frames_of(corrections: Iterable[Correction], label: str | None = None) -> Iterator[int]:
    """Yields the frames with a correction, of one point or any, in their order."""
    yield from sorted({one.frame for one in corrections if label in (None, one.label)})
