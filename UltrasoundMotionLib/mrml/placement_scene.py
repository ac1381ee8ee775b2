"""A placed clip, its points and the volume as a scene that opens in 3D Slicer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import slicer

from UltrasoundMotionLib.images import ImageSequence, Volume
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.placement_nodes import add_placement, show_in_volume
from UltrasoundMotionLib.mrml.scene_files import quiet_vtk, write_scene
from UltrasoundMotionLib.mrml.tracking_scene import add_tracks, with_frames
from UltrasoundMotionLib.mrml.views import set_layout, show_as_acquired
from UltrasoundMotionLib.mrml.volume_nodes import add_volume
from UltrasoundMotionLib.placement.placement import Placement
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


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
