"""A clip that is in the scene, with what was tracked in it, placed in a volume: by a transform, or by landmarks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import (
    pixels_to_ras_mm,
    sequence_ijk_to_ras,
    to_vtk_matrix,
)
from UltrasoundMotionLib.mrml.node_removal import remove_node
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes
from UltrasoundMotionLib.mrml.track_links import derived_nodes, image_of, is_result
from UltrasoundMotionLib.mrml.tracks_from_nodes import query_points_from_markups
from UltrasoundMotionLib.mrml.volume_nodes import linear_between, volume_from_node
from UltrasoundMotionLib.placement.landmark_fit import fit_landmarks
from UltrasoundMotionLib.placement.place import fit_notes
from UltrasoundMotionLib.placement.placement import MIRROR, Placement, check_rigid, overlap_doubt
from UltrasoundMotionLib.tracking.files.query_points_file import FARTHEST_FROM_PLANE_MM

PLACED_ATTRIBUTE = "UltrasoundMotion.Placed"
"""Marks the transforms that are made here, which are used again and removed with the placement."""


@dataclass(frozen=True)
class PlacedClip:
    """A clip that was placed.

    Attributes:
        transform: under which it lies.
        notes: the residual of landmarks, doubts, one sentence each.
    """

    transform: slicer.vtkMRMLTransformNode
    notes: tuple[str, ...]


def place_under(
    image: SequenceNodes,
    sequence: ImageSequence,
    transform: slicer.vtkMRMLTransformNode,
    volume: slicer.vtkMRMLVolumeNode,
    *,
    points: Iterable[slicer.vtkMRMLMarkupsNode] = (),
) -> PlacedClip:
    """Puts a clip, and the results that were tracked in it, under a transform of the scene.

    Args:
        points: further points on the clip, to be moved with it.
        transform: from the clip's own space to the volume's; one that a sequence browser plays moves the clip with it.

    Raises:
        InputError: a transform that bends, or one that shears or mirrors, or that scales a clip of known pixel size.
    """
    name = transform.GetName()
    matrix = MIRROR @ linear_between(transform, None, name) @ MIRROR
    scale = np.linalg.norm(matrix[:3, :3], axis=0)
    notes: tuple[str, ...] = ()
    if sequence.spacing_mm is None:
        check_rigid(matrix @ np.diag([*(1 / scale), 1.0]), name)
        notes = (f"the clip does not say its pixel size; the transform gives {scale[0]:.4g} x {scale[1]:.4g} mm",)
    else:
        check_rigid(matrix, name, "choose the transform from the clip's mm, not from its pixels")
    _put_under(image, transform, points)
    return PlacedClip(transform, (*notes, *_overlap(sequence, matrix, volume)))


def place_by_landmarks(
    image: SequenceNodes,
    sequence: ImageSequence,
    clip_points: slicer.vtkMRMLMarkupsNode,
    volume_points: slicer.vtkMRMLMarkupsNode,
    volume: slicer.vtkMRMLVolumeNode,
    *,
    scale: bool = False,
    points: Iterable[slicer.vtkMRMLMarkupsNode] = (),
) -> PlacedClip:
    """Fits the landmarks of a clip onto those of the same labels in a volume, and puts the clip, and the results that
    were tracked in it, under a transform of its own, which is used again the next time.

    Args:
        clip_points, volume_points: point lists, which may stand under transforms.
        scale: also fit one factor, for a clip of unknown pixel size.
        points: further points on the clip, to be moved with it.

    Raises:
        InputError: fewer than three landmarks of the same labels, landmarks on a line or off the clip's plane, or a
            clip of unknown pixel size without `scale`.
    """
    if sequence.spacing_mm is None and not scale:
        raise InputError(f"{image.proxy.GetName()}: its pixel size is unknown; fit the scale too")
    on_clip = query_points_from_markups(clip_points, image, sequence)
    for label, distance in zip(on_clip.labels, np.abs(on_clip.distance_mm), strict=True):
        if distance > FARTHEST_FROM_PLANE_MM:
            raise InputError(f"{clip_points.GetName()}: {label} lies {distance:.1f} mm off the image plane of the clip")
    targets = _world_positions(volume_points)
    shared = [label for label in on_clip.labels if label in targets]
    source = pixels_to_ras_mm(sequence, on_clip.points_px[[on_clip.labels.index(label) for label in shared]])
    target = np.array([targets[label] for label in shared]).reshape(-1, 3)
    try:
        fit = fit_landmarks(source.reshape(-1, 3), target, scale=scale)
    except InputError as error:
        names = f"{clip_points.GetName()}, {volume_points.GetName()}"
        raise InputError(f"{names}: {error} (pairs have the same label)") from error
    alone = [label for label in (*on_clip.labels, *targets) if label not in shared]
    notes = fit_notes(fit, shared)
    if alone:
        notes.append(f"left out, since they are in one list only: {', '.join(alone)}")
    transform = _own_transform(image)
    transform.SetMatrixTransformToParent(to_vtk_matrix(fit.matrix))
    _put_under(image, transform, (clip_points, *points))
    return PlacedClip(transform, (*notes, *_overlap(sequence, fit.matrix, volume)))


def take_out(image: SequenceNodes, points: Iterable[slicer.vtkMRMLMarkupsNode] = ()) -> None:
    """Takes a clip, and the results that were tracked in it, out of the transform that places it; a transform that was
    made here is removed.
    """
    transform = image.proxy.GetParentTransformNode()
    _put_under(image, None, points)
    if transform is not None and transform.GetAttribute(PLACED_ATTRIBUTE):
        remove_node(transform)


def _put_under(
    image: SequenceNodes,
    transform: slicer.vtkMRMLTransformNode | None,
    points: Iterable[slicer.vtkMRMLMarkupsNode],
) -> None:
    """Puts the clip, its results and further points, as far as they stand where the clip does, under a transform."""
    before = image.proxy.GetTransformNodeID()
    moved = [image.proxy, *points]
    for markups in nodes_of_class(image.scene, "vtkMRMLMarkupsNode"):
        nodes = _result_on(markups, image)
        if nodes is not None:
            moved += [markups, *derived_nodes(nodes, "vtkMRMLTransformableNode")]
    for node in moved:
        if node.GetTransformNodeID() == before:
            node.SetAndObserveTransformNodeID(None if transform is None else transform.GetID())


def _result_on(markups: slicer.vtkMRMLMarkupsNode, image: SequenceNodes) -> SequenceNodes | None:
    """Returns the nodes of a markups node that plays with a clip, or None."""
    if not is_result(markups):
        sequence = image.browser.GetSequenceNode(markups)
        return None if sequence is None else SequenceNodes(sequence, markups, image.browser)
    nodes = find_sequence_nodes(markups)
    return nodes if image_of(nodes).sequence is image.sequence else None


def _own_transform(image: SequenceNodes) -> slicer.vtkMRMLLinearTransformNode:
    parent = image.proxy.GetParentTransformNode()
    if parent is not None and parent.GetAttribute(PLACED_ATTRIBUTE):
        return parent
    scene, name = image.scene, f"{image.proxy.GetName()} to volume"
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", scene.GenerateUniqueName(name))
    node.SetAttribute(PLACED_ATTRIBUTE, "1")
    return node


def _world_positions(markups: slicer.vtkMRMLMarkupsNode) -> dict[str, np.ndarray]:
    """Returns the placed points of a list in world RAS mm by their labels.

    Raises:
        InputError: two with the same label.
    """
    found: dict[str, np.ndarray] = {}
    for number in range(markups.GetNumberOfControlPoints()):
        if markups.GetNthControlPointPositionStatus(number) != slicer.vtkMRMLMarkupsNode.PositionDefined:
            continue
        label, position = markups.GetNthControlPointLabel(number), [0.0, 0.0, 0.0]
        if label in found:
            raise InputError(f"{markups.GetName()}: two points are called {label!r}; give each its own label")
        markups.GetNthControlPointPositionWorld(number, position)
        found[label] = np.array(position)
    return found


def _overlap(sequence: ImageSequence, to_world: np.ndarray, volume: slicer.vtkMRMLVolumeNode) -> tuple[str, ...]:
    """Returns a note where the frame lies beside the volume."""
    world_to_volume = linear_between(None, volume.GetParentTransformNode(), volume.GetName())
    total = MIRROR @ world_to_volume @ MIRROR @ to_world @ sequence_ijk_to_ras(sequence)
    return overlap_doubt(Placement(total[None], "matrix"), sequence, volume_from_node(volume))
