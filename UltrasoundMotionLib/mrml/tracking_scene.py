"""A whole tracking result in a scene: clip, moving landmarks, curve, paths, tables and plot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
import slicer

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.images.image_sequence import FrameSource
from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
from UltrasoundMotionLib.mrml.image_nodes import add_image_sequence
from UltrasoundMotionLib.mrml.node_removal import remove_node, remove_sequence, undone_unless_finished
from UltrasoundMotionLib.mrml.scene_files import quiet_vtk, write_scene
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.strain_nodes import add_strain
from UltrasoundMotionLib.mrml.strain_scale import add_color_legend
from UltrasoundMotionLib.mrml.subject_hierarchy import putting_in_folder
from UltrasoundMotionLib.mrml.track_links import link_results
from UltrasoundMotionLib.mrml.track_nodes import adding_curve, adding_landmarks, adding_trajectories
from UltrasoundMotionLib.mrml.track_tables import (
    DisplacementPlot,
    add_track_table,
    adding_displacement_plot,
    adding_reading_table_of_tracks,
)
from UltrasoundMotionLib.mrml.views import set_layout, show_as_acquired, show_chart
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.steps import Steps, run_steps
from UltrasoundMotionLib.strain.strain_result import StrainResult
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

_FINISHING = "adding tables and chart"


@dataclass(frozen=True)
class TrackNodes:
    """The nodes of one tracking result.

    Attributes:
        landmarks: the moving point list.
        curve: the moving curve through some of the points, or None.
        paths: static curves along the path of each point.
        table: all positions.
        reading_table: the same, rounded for reading.
        plot: displacement of each point.
    """

    landmarks: SequenceNodes
    curve: SequenceNodes | None
    paths: tuple[slicer.vtkMRMLMarkupsCurveNode, ...]
    table: slicer.vtkMRMLTableNode
    reading_table: slicer.vtkMRMLTableNode
    plot: DisplacementPlot

    def shown_nodes(self) -> Iterator[slicer.vtkMRMLNode]:
        """Yields the nodes that belong into the Data module's folder."""
        yield self.landmarks.proxy
        if self.curve is not None:
            yield self.curve.proxy
        yield from self.derived_nodes()

    def derived_nodes(self) -> Iterator[slicer.vtkMRMLNode]:
        """Yields the nodes derived from the tracks: all but the landmarks and the curve."""
        yield from self.paths
        yield self.table
        yield self.reading_table
        yield self.plot.table
        yield self.plot.chart
        yield from self.plot.series

    def remove(self) -> None:
        """Removes all of them from the scene; clip and browser stay."""
        for nodes in (self.landmarks, self.curve):
            if nodes is not None:
                remove_sequence(nodes)
        for node in self.derived_nodes():
            remove_node(node)


def add_tracks(
    image: SequenceNodes,
    sequence: ImageSequence,
    tracks: PointTracks,
    *,
    curve_labels: Sequence[str] | None = None,
    trajectories: bool = True,
    landmarks: SequenceNodes | None = None,
) -> TrackNodes:
    """`adding_tracks` at once."""
    return run_steps(
        adding_tracks(
            image, sequence, tracks, curve_labels=curve_labels, trajectories=trajectories, landmarks=landmarks
        )
    )


def adding_tracks(
    image: SequenceNodes,
    sequence: ImageSequence,
    tracks: PointTracks,
    *,
    curve_labels: Sequence[str] | None = None,
    trajectories: bool = True,
    landmarks: SequenceNodes | None = None,
) -> Steps[TrackNodes]:
    """Adds tracks to a clip in the scene, in a folder of the Data module.

    Args:
        image: the nodes of the clip, from `add_image_sequence` or `find_sequence_nodes`.
        sequence: the clip, for its name and geometry.
        curve_labels: the points of a curve, in order; None for no curve.
        trajectories: draw the path of each point.
        landmarks: the point list of these tracks if it is in the scene already.

    Raises:
        InputError: the tracks do not fit the clip, a label does not exist, or the clip or the point list was removed
            in between; the scene is then as it was.
    """

    def add() -> Steps[TrackNodes]:
        """Adds points, curve, paths, tables and plot in one folder, and links them with the clip."""
        scene, name = image.scene, sequence.name
        points = landmarks or (yield from adding_landmarks(image, sequence, tracks))
        curve = (yield from adding_curve(image, sequence, tracks, curve_labels)) if curve_labels else None
        paths = (yield from adding_trajectories(image, sequence, tracks)) if trajectories else ()
        yield 0, 1, _FINISHING
        table = add_track_table(scene, tracks, f"{name} tracks")
        reading = yield from adding_reading_table_of_tracks(scene, tracks, f"{name} tracks, rounded")
        plot = yield from adding_displacement_plot(scene, tracks, f"{name} displacement")
        nodes = TrackNodes(points, curve, paths, table, reading, plot)
        yield from putting_in_folder(scene, image.proxy, nodes.shown_nodes(), f"{name} motion")
        yield 1, 1, _FINISHING
        for needed in (image, points):
            needed.check_in_scene()
        link_results(image, points, nodes.derived_nodes())
        return nodes

    return undone_unless_finished(image.scene, add())


def build_tracking_scene(
    scene: slicer.vtkMRMLScene,
    sequence: ImageSequence,
    tracks: PointTracks,
    *,
    curve_labels: Sequence[str] | None = None,
    trajectories: bool = True,
    strain: StrainResult | None = None,
    progress: Progress = no_progress,
) -> tuple[SequenceNodes, TrackNodes]:
    """Fills an empty scene with a clip and its tracks, at the query frame, with the plot beside the image.

    With strain the scene is shown at end-systole, with the coloured wall and the strain's chart; paths are hidden.
    """
    image = add_image_sequence(scene, sequence, progress=progress)
    nodes = add_tracks(image, sequence, tracks, curve_labels=curve_labels, trajectories=trajectories)
    frame, chart = tracks.query_frame, nodes.plot.chart
    if strain is not None:
        strain_nodes = add_strain(image, sequence, strain, curve=nodes.curve)
        add_color_legend(strain_nodes.band.proxy, "strain (%)")
        frame, chart = strain.cycle.end_systole_frame, strain_nodes.chart
        nodes.landmarks.proxy.GetDisplayNode().SetPointLabelsVisibility(False)
        for path in nodes.paths:
            path.SetDisplayVisibility(False)
    image.browser.SetSelectedItemNumber(frame)
    show_as_acquired(scene, image.proxy)
    show_chart(scene, chart)
    set_layout(scene)
    return image, nodes


class _SomeFrames:
    """Some frames of a source, a `FrameSource`."""

    def __init__(self, frames: FrameSource, kept: np.ndarray) -> None:
        self._frames, self._kept = frames, kept
        self.shape, self.dtype = (len(kept), *frames.shape[1:]), frames.dtype

    def __getitem__(self, index: int) -> np.ndarray:
        return self._frames[int(self._kept[index])]


def thinned(sequence: ImageSequence, tracks: PointTracks, every: int) -> tuple[ImageSequence, PointTracks]:
    """Returns each K-th frame of a clip and its tracks, the query frame among them."""
    kept = np.arange(tracks.query_frame % every, len(sequence), every)
    clip, kept_tracks = with_frames(sequence, tracks, kept)
    note = f"each {every}th frame of {len(sequence)} is kept"
    return replace(clip, notes=(*sequence.notes, note)), kept_tracks


@overload
def with_frames(
    sequence: ImageSequence, tracks: PointTracks, kept: np.ndarray
) -> tuple[ImageSequence, PointTracks]: ...
@overload
def with_frames(
    sequence: ImageSequence, tracks: PointTracks | None, kept: np.ndarray
) -> tuple[ImageSequence, PointTracks | None]: ...
def with_frames(
    sequence: ImageSequence, tracks: PointTracks | None, kept: np.ndarray
) -> tuple[ImageSequence, PointTracks | None]:
    """Returns some frames, by their rising numbers, of a clip and its tracks; a query frame that is not among them
    becomes the next one that is.
    """
    clip = replace(
        sequence,
        frames=_SomeFrames(sequence.frames, kept),
        times_s=None if sequence.times_s is None else sequence.times_s[kept],
        frame_fields={name: tuple(values[frame] for frame in kept) for name, values in sequence.frame_fields.items()},
    )
    if tracks is None:
        return clip, None
    return clip, replace(
        tracks,
        positions_px=tracks.positions_px[kept],
        confidence=tracks.confidence[kept],
        visible=tracks.visible[kept],
        query_frame=min(int(np.searchsorted(kept, tracks.query_frame)), len(kept) - 1),
        times_s=None if tracks.times_s is None else np.asarray(tracks.times_s)[kept],
    )


def write_tracking_scene(
    path: str | Path,
    sequence: ImageSequence,
    tracks: PointTracks,
    *,
    curve_labels: Sequence[str] | None = None,
    trajectories: bool = True,
    strain: StrainResult | None = None,
    progress: Progress = no_progress,
) -> Path:
    """Writes a clip with its tracks, and their strain, as a scene (`.mrb`) whose markups play in step with the image.

    Raises:
        InputError: the tracks do not fit the clip, or a label does not exist.
        OutputError: the file cannot be written.
    """
    with quiet_vtk(), HeadlessScene() as scene:
        build_tracking_scene(
            scene,
            sequence,
            tracks,
            curve_labels=curve_labels,
            trajectories=trajectories,
            strain=strain,
            progress=progress,
        )
        progress(0, 1, "writing the scene")
        written = write_scene(scene, path)
        progress(1, 1, "writing the scene")
    return written
