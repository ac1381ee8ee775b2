"""Markups sequences: one markups node per frame, played in step with the image."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.node_removal import undone_unless_finished
from UltrasoundMotionLib.mrml.point_state import describe_point
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, add_with_proxy, join_browser
from UltrasoundMotionLib.steps import Steps, run_steps
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

MODEL_ATTRIBUTE = "UltrasoundMotion.Model"
QUERY_FRAME_ATTRIBUTE = "UltrasoundMotion.QueryFrame"
_FILLING = "putting the points into the scene"
_SHOWING = "showing the points"


def adding_markups_sequence(
    image: SequenceNodes,
    sequence: ImageSequence,
    tracks: PointTracks,
    points: Sequence[int],
    *,
    class_name: str,
    name: str,
    show_points: bool,
    style: Callable[[slicer.vtkMRMLMarkupsNode], None],
) -> Steps[SequenceNodes]:
    """Adds points of the tracks as a markups node that changes with the frame, in the image's browser and transform.

    The index is the image's, value for value. A point that is not visible, or was never reached, is marked as missing
    in that frame. The list is locked, which makes playback several times faster and prevents accidental moves, and its
    number of points is fixed.

    The scene has nothing of it before all frames are filled.

    Args:
        image: the nodes of the clip.
        sequence: the clip, for its geometry.
        points: indices of the tracks' points, in the order of the control points.
        class_name: vtkMRMLMarkupsFiducialNode, vtkMRMLMarkupsCurveNode or vtkMRMLMarkupsClosedCurveNode.
        show_points: draw the control points; a curve can be drawn without them.
        style: sets the display of the node that is shown; called once.

    Raises:
        InputError: the tracks have another number of frames than the image, or the image was removed.
    """
    index = image.index
    if len(index.values) != tracks.positions_px.shape[0]:
        raise InputError(f"{name}: tracks of {tracks.positions_px.shape[0]} frames for a clip of {len(index.values)}")
    scene = image.scene
    node = slicer.vtkMRMLSequenceNode()
    index.apply(node)
    node.SetAttribute(MODEL_ATTRIBUTE, tracks.model)
    node.SetAttribute(QUERY_FRAME_ATTRIBUTE, str(tracks.query_frame))
    loose = _loose_markups(class_name, name, [tracks.labels[point] for point in points], show_points)
    for frame, value in enumerate(index.values):
        yield frame, len(index.values), _FILLING
        _set_frame(loose, sequence, tracks, frame, points)
        node.SetDataNodeAtValue(loose, value)
    yield len(index.values), len(index.values), _FILLING
    image.check_unchanged(index)
    return (yield from undone_unless_finished(scene, _playing(image, node, class_name, name, style)))


def _playing(
    image: SequenceNodes,
    node: slicer.vtkMRMLSequenceNode,
    class_name: str,
    name: str,
    style: Callable[[slicer.vtkMRMLMarkupsNode], None],
) -> Steps[SequenceNodes]:
    """Adds a filled sequence and its proxy to the scene and to the image's browser."""
    proxy = add_with_proxy(image, node, class_name, name)
    nodes = SequenceNodes(node, proxy, image.browser)
    yield 0, 2, _SHOWING
    nodes.check_in_scene()
    proxy.CreateDefaultDisplayNodes()
    display = proxy.GetDisplayNode()
    was_modifying = display.StartModify()
    style(proxy)
    display.EndModify(was_modifying)
    yield 1, 2, _SHOWING
    nodes.check_in_scene()
    return join_browser(image.browser, node, proxy, editable=True)


def write_track_frame(markups: SequenceNodes, sequence: ImageSequence, tracks: PointTracks, frame: int) -> None:
    """Replaces the markups of a frame by the tracks, for a run that is continued or corrected from a frame on.

    Control points are matched by label; points that the tracks lack stay as they are. Call
    `sequence.InvokePendingModifiedEvent()` after the last frame, see `store_item`.

    Raises:
        InputError: the tracks have another number of frames than the markups.
    """
    node = markups.sequence
    if node.GetNumberOfDataNodes() != tracks.positions_px.shape[0]:
        raise InputError(
            f"{node.GetName()}: tracks of {tracks.positions_px.shape[0]} frames"
            f" for markups of {node.GetNumberOfDataNodes()}"
        )
    number_of = {label: number for number, label in enumerate(tracks.labels)}
    loose = loose_copy(node.GetNthDataNode(frame))
    points = [
        number_of.get(loose.GetNthControlPointLabel(control), -1) for control in range(loose.GetNumberOfControlPoints())
    ]
    _set_frame(loose, sequence, tracks, frame, points)
    store_item(markups, loose, frame)


def store_item(markups: SequenceNodes, item: slicer.vtkMRMLMarkupsNode, frame: int) -> None:
    """Replaces the item of a frame by a changed copy (see `loose_copy`).

    Slicer updates everything that the browser plays each time a sequence reports that it was modified. It is reported
    here for the frame that is shown only; `sequence.InvokePendingModifiedEvent()` reports the others, at the end.
    """
    node = markups.sequence
    was_modifying = node.StartModify()
    node.UpdateDataNodeAtValue(item, node.GetNthIndexValue(frame))
    if frame == markups.shown_item:
        node.EndModify(was_modifying)
    else:
        node.SetDisableModifiedEvent(was_modifying)


def set_locked(markups: SequenceNodes, locked: bool) -> None:
    """`setting_locked` at once."""
    run_steps(setting_locked(markups, locked))


def setting_locked(markups: SequenceNodes, locked: bool) -> Steps[None]:
    """Locks or unlocks the points in every frame.

    Unlock them to correct a point by dragging it; lock them again for fast playback.
    """
    count = markups.sequence.GetNumberOfDataNodes()
    for frame in range(count):
        yield frame, count, "locking the points" if locked else "unlocking the points"
        _set_frame_locked(markups, frame, locked)
    markups.sequence.InvokePendingModifiedEvent()


def set_shown_locked(markups: SequenceNodes, locked: bool) -> None:
    """Locks or unlocks the points on the frame shown, ahead of `setting_locked`; does nothing where they are so."""
    frame = markups.shown_item
    item = markups.sequence.GetNthDataNode(frame)
    if item is not None and bool(item.GetLocked()) != locked:
        _set_frame_locked(markups, frame, locked)


def _set_frame_locked(markups: SequenceNodes, frame: int, locked: bool) -> None:
    loose = loose_copy(markups.sequence.GetNthDataNode(frame))
    loose.SetLocked(locked)
    store_item(markups, loose, frame)


def _loose_markups(class_name: str, name: str, labels: Sequence[str], show_points: bool) -> slicer.vtkMRMLMarkupsNode:
    markups = getattr(slicer, class_name)()
    markups.SetName(name)
    for number, label in enumerate(labels):
        markups.AddControlPoint(0.0, 0.0, 0.0, label)
        markups.SetNthControlPointVisibility(number, show_points)
    markups.SetLocked(True)
    markups.SetFixedNumberOfControlPoints(True)
    return markups


def loose_copy(item: slicer.vtkMRMLMarkupsNode) -> slicer.vtkMRMLMarkupsNode:
    """Returns a copy of an item to change and store again: an item that is updated from itself loses its points."""
    copy = getattr(slicer, item.GetClassName())()
    copy.CopyContent(item)
    return copy


def _set_frame(
    markups: slicer.vtkMRMLMarkupsNode, sequence: ImageSequence, tracks: PointTracks, frame: int, points: Sequence[int]
) -> None:
    positions = pixels_to_ras_mm(sequence, tracks.positions_px[frame])
    was_modifying = markups.StartModify()
    for control, point in enumerate(points):
        if point < 0:
            continue
        x, y, z = positions[point]
        if np.isfinite(x + y + z):
            markups.SetNthControlPointPosition(control, x, y, z)
        if not (tracks.visible[frame, point] and np.isfinite(x + y + z)):
            markups.SetNthControlPointPositionMissing(control)
        markups.SetNthControlPointDescription(control, describe_point(tracks, frame, point))
    markups.EndModify(was_modifying)
