"""A clip under the transform, or the sequence of transforms, that places it in the space of a volume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence, Volume
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_geometry import to_vtk_matrix
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.node_removal import undone_on_error
from UltrasoundMotionLib.mrml.scene_files import quiet_vtk, write_scene
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, join_browser
from UltrasoundMotionLib.mrml.subject_hierarchy import put_in_folder
from UltrasoundMotionLib.mrml.tracking_scene import add_tracks, with_frames
from UltrasoundMotionLib.mrml.views import FOREGROUND_OPACITY, set_layout, show_as_acquired, view_node
from UltrasoundMotionLib.mrml.volume_nodes import add_volume
from UltrasoundMotionLib.placement.placement import Placement
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


def add_placement(
    image: SequenceNodes, sequence: ImageSequence, placement: Placement, name: str
) -> slicer.vtkMRMLLinearTransformNode:
    """Puts a clip under a new transform, which plays with it where frames lie at different places.

    Points and curves that are added to the clip afterwards follow it.

    Raises:
        InputError: the placement has another number of frames than the clip, or frames without a place, which Slicer
            would show where the one before lies.
    """
    index = image.index
    if len(index.values) != len(placement.pixel_to_ras):
        raise InputError(f"{name}: a placement of {len(placement.pixel_to_ras)} frames for {len(index.values)}")
    if not placement.placed.all():
        missing = int((~placement.placed).sum())
        raise InputError(f"{name}: {missing} frames have no place, and a scene would show them at a wrong one")
    matrices = placement.clip_to_volume(sequence)
    scene = image.scene
    with undone_on_error(scene):
        node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", scene.GenerateUniqueName(name))
        node.SetMatrixTransformToParent(to_vtk_matrix(matrices[0]))
        if placement.moving:
            items = slicer.vtkMRMLSequenceNode()
            index.apply(items)
            for value, matrix in zip(index.values, matrices, strict=True):
                item = slicer.vtkMRMLLinearTransformNode()
                item.SetName(name)
                item.SetMatrixTransformToParent(to_vtk_matrix(matrix))
                items.SetDataNodeAtValue(item, value)
            items.SetName(scene.GenerateUniqueName(f"{name} sequence"))
            scene.AddNode(items)
            join_browser(image.browser, items, node, editable=False)
        image.proxy.SetAndObserveTransformNodeID(node.GetID())
        put_in_folder(scene, image.proxy, (node,), f"{image.proxy.GetName()} motion")
    return node


def show_in_volume(
    volume: slicer.vtkMRMLVolumeNode, clip: slicer.vtkMRMLVolumeNode, view_name: str = "Red"
) -> slicer.vtkMRMLSliceNode:
    """Shows a slice view at the plane of a placed clip: the volume there, the frame over it, and both in 3D views."""
    scene = volume.GetScene()
    node = show_as_acquired(scene, clip, view_name)
    composite = view_node(scene, "vtkMRMLSliceCompositeNode", view_name)
    composite.SetBackgroundVolumeID(volume.GetID())
    composite.SetForegroundVolumeID(clip.GetID())
    composite.SetForegroundOpacity(FOREGROUND_OPACITY)
    return node


def write_placement_scene(
    path: str | Path,
    sequence: ImageSequence,
    placement: Placement,
    *,
    volume: Volume | None = None,
    tracks: PointTracks | None = None,
    progress: Progress = no_progress,
) -> tuple[str, ...]:
    """Writes a scene (`.mrb`) with the clip in its place, the volume and the points; returns notes on what it lacks.

    Raises:
        OutputError: the file cannot be written.
    """
    kept, notes = np.flatnonzero(placement.placed), []
    if len(kept) < len(sequence):
        notes.append(f"the scene leaves out {len(sequence) - len(kept)} frames without a place")
        sequence, tracks = with_frames(sequence, tracks, kept)
        placement = replace(placement, pixel_to_ras=placement.pixel_to_ras[kept])
    with quiet_vtk(), HeadlessScene() as scene:
        image = add_image_sequence(scene, sequence, progress=progress)
        add_placement(image, sequence, placement, f"{sequence.name} to volume")
        if tracks is not None:
            add_tracks(image, sequence, tracks, trajectories=not placement.moving)
        image.browser.SetSelectedItemNumber(0 if tracks is None else tracks.query_frame)
        if volume is None:
            show_as_acquired(scene, image.proxy)
        else:
            show_in_volume(add_volume(scene, volume, volume.name), image.proxy)
        set_layout(scene, slicer.vtkMRMLLayoutNode.SlicerLayoutFourUpView)
        progress(0, 1, "writing the scene")
        write_scene(scene, path)
        progress(1, 1, "writing the scene")
    return tuple(notes)
