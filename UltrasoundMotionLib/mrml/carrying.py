"""An object drawn on one frame carried along with a motion: the same object on every frame, in the motion's browser."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.carried_object import (
    OBJECT_CLASSES,
    check_object,
    copy_of,
    in_object_coordinates,
    layers_of,
    moving,
    surface_points,
    voxels_of_volume,
)
from UltrasoundMotionLib.mrml.node_removal import undone_unless_finished
from UltrasoundMotionLib.mrml.object_motion import ObjectMotion
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes, join_browser
from UltrasoundMotionLib.mrml.subject_hierarchy import putting_in_folder
from UltrasoundMotionLib.steps import Result, Steps

FRAME_ATTRIBUTE = "UltrasoundMotion.DrawnOnFrame"
"""Attribute of the sequence of a carried object: the frame on which the object was drawn."""

_MESSAGE = "carrying the object along"
_SHOWING = "adding the object to the scene"
_INEXACT_MM = 0.05
"""Error of the way back that is reported."""

_LOOKED_AT = 500
"""Points on the object's surface, at most, at which a motion is examined."""


@dataclass(frozen=True)
class CarriedObject:
    """An object on every frame.

    Attributes:
        nodes: its sequence, proxy and browser.
        notes: doubts about the result, one sentence each.
    """

    nodes: SequenceNodes
    notes: tuple[str, ...]


def carrying(node: slicer.vtkMRMLTransformableNode, motion: ObjectMotion, frame: int) -> Steps[CarriedObject]:
    """Carries an object to every frame in short steps, between which an application can go on.

    The object itself is not changed. The result stands under its transform, has its display, and can be edited frame by
    frame. The scene has nothing of it before the last step.

    Args:
        node: the object, as drawn on `frame`.
        motion: see `find_motion`.
        frame: from 0; its item is an exact copy of the object.

    Raises:
        InputError: see `check_object` and `ObjectMotion.check`; nodes that were removed or changed in the meantime.
    """
    motion.check(frame)
    to_motion = check_object(node, motion)
    index, count = motion.nodes.index, len(motion)
    drawn, examined = copy_of(node), _some(surface_points(node))
    layers = layers_of(drawn) if drawn.IsA("vtkMRMLSegmentationNode") else []
    outside, error = np.zeros(count), 0.0
    sequence = slicer.vtkMRMLSequenceNode()
    index.apply(sequence)
    left, kinds = False, set()
    for number, value in enumerate(index.values):
        yield number, count, _MESSAGE
        if len(motion) != count or motion.nodes.sequence.GetScene() is None:
            raise InputError(f"{motion.nodes.sequence.GetName()}: was removed or changed in the meantime; start again")
        frame_map = in_object_coordinates(motion.between(frame, number), to_motion)
        if number == frame:
            sequence.SetDataNodeAtValue(drawn, value)
            continue
        kinds.add(frame_map.kind)
        outside[number] = frame_map.outside(examined).mean()
        yield number, count, _MESSAGE
        moved_points = frame_map.forward(examined)
        error = max(error, frame_map.back_error_mm(moved_points))
        left = left or _leaves(drawn, moved_points)
        moved = yield from _reported(moving(drawn, frame_map, layers), number, count)
        sequence.SetDataNodeAtValue(moved, value)
    yield count, count, _MESSAGE
    if node.GetScene() is None or motion.nodes.proxy.GetScene() is None or len(motion) != count:
        raise InputError("the object or the motion was removed or changed while it was carried along; start again")
    nodes = yield from undone_unless_finished(node.GetScene(), _adding(node, motion, sequence, frame))
    return CarriedObject(nodes, tuple(_notes(kinds, outside, error, left=left)))


def carried_object(proxy: slicer.vtkMRMLNode) -> SequenceNodes:
    """Returns the nodes of an object that plays in a browser: one that was carried along, or any other of its kind.

    Raises:
        InputError: no browser plays it, or it is no object that can be carried along.
    """
    nodes = find_sequence_nodes(proxy)
    if nodes.proxy.GetClassName() not in OBJECT_CLASSES:
        raise InputError(f"{nodes.proxy.GetName()}: is not a segmentation, model, markups or volume that plays")
    return nodes


def _reported(steps: Generator[None, None, Result], done: int, total: int) -> Steps[Result]:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value
        yield done, total, _MESSAGE


def _some(points: np.ndarray) -> np.ndarray:
    return points[:: max(1, len(points) // _LOOKED_AT)]


def _leaves(node: slicer.vtkMRMLNode, points: np.ndarray) -> bool:
    """Returns True where a label map moves out of its own volume."""
    if not node.IsA("vtkMRMLLabelMapVolumeNode"):
        return False
    voxels = voxels_of_volume(node)
    index = voxels.index(points)
    return bool(((index < -0.5) | (index >= np.array(voxels.array.shape[::-1]) - 0.5)).any())


def _adding(
    node: slicer.vtkMRMLTransformableNode, motion: ObjectMotion, sequence: slicer.vtkMRMLSequenceNode, frame: int
) -> Steps[SequenceNodes]:
    scene, name = node.GetScene(), f"{node.GetName()} carried"
    sequence.SetName(scene.GenerateUniqueName(f"{name} sequence"))
    sequence.SetAttribute(FRAME_ATTRIBUTE, str(frame))
    scene.AddNode(sequence)
    yield 0, 1, _SHOWING
    proxy = scene.AddNewNodeByClass(node.GetClassName(), scene.GenerateUniqueName(name))
    proxy.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    yield 0, 1, _SHOWING
    nodes = join_browser(motion.nodes.browser, sequence, proxy, editable=True)
    _copy_display(node, proxy)
    yield 0, 1, _SHOWING
    yield from putting_in_folder(scene, node, (proxy,), name)
    return nodes


def _copy_display(node: slicer.vtkMRMLDisplayableNode, proxy: slicer.vtkMRMLDisplayableNode) -> None:
    """Shows a node as another is shown."""
    shown = node.GetDisplayNode()
    if shown is None:
        return
    proxy.CreateDefaultDisplayNodes()
    display = proxy.GetDisplayNode()
    if display is not None and display.GetClassName() == shown.GetClassName():
        display.CopyContent(shown)
        if shown.GetColorNodeID():
            display.SetAndObserveColorNodeID(shown.GetColorNodeID())


def _notes(kinds: set[str], outside: np.ndarray, error: float, *, left: bool) -> Iterator[str]:
    if outside.max() > 0:
        if kinds == {"transform"}:
            yield (
                f"{outside.max():.0%} of the object lies outside the motion's grid and moves as the grid's edge does"
            )
        else:
            yield (
                f"{outside.max():.0%} of the object lies outside the tracked points, where its motion is extrapolated"
            )
    for kind in ("translation", "linear", "similarity", "affine"):
        if kind in kinds:
            yield f"so few points give no more than: {kind}; more points follow bending"
            break
    if error > _INEXACT_MM:
        yield f"the motion cannot be inverted everywhere (error {error:.2g} mm): it folds; look at the result"
    if left:
        yield "the labels leave their volume on some frames and are cut off there"
