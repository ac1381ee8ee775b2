"""Point tracks in a scene: landmarks that move with the image, a curve through some of them, and their paths."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import slicer
import vtk

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import pixels_to_ras_mm
from UltrasoundMotionLib.mrml.markups_display import point_color, show_curve, show_landmarks
from UltrasoundMotionLib.mrml.markups_items import adding_markups_sequence
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.steps import Steps, run_steps
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

_MAXIMUM_PATH_POINTS = 300
"""Control points of a path in a long clip; each costs memory and drawing time."""


def add_landmarks(
    image: SequenceNodes, sequence: ImageSequence, tracks: PointTracks, *, name: str | None = None
) -> SequenceNodes:
    """`adding_landmarks` at once."""
    return run_steps(adding_landmarks(image, sequence, tracks, name=name))


def adding_landmarks(
    image: SequenceNodes, sequence: ImageSequence, tracks: PointTracks, *, name: str | None = None
) -> Steps[SequenceNodes]:
    """Adds the tracks as a point list `<clip> landmarks` that plays with the image, see `adding_markups_sequence`."""
    return adding_markups_sequence(
        image,
        sequence,
        tracks,
        range(len(tracks.labels)),
        class_name="vtkMRMLMarkupsFiducialNode",
        name=name or f"{sequence.name} landmarks",
        show_points=True,
        style=lambda proxy: show_landmarks(proxy, sequence, len(tracks.labels)),
    )


def add_curve(
    image: SequenceNodes,
    sequence: ImageSequence,
    tracks: PointTracks,
    labels: Sequence[str],
    *,
    closed: bool = False,
    name: str | None = None,
) -> SequenceNodes:
    """`adding_curve` at once."""
    return run_steps(adding_curve(image, sequence, tracks, labels, closed=closed, name=name))


def adding_curve(
    image: SequenceNodes,
    sequence: ImageSequence,
    tracks: PointTracks,
    labels: Sequence[str],
    *,
    closed: bool = False,
    name: str | None = None,
) -> Steps[SequenceNodes]:
    """Adds a curve `<clip> wall` through the points of these labels that plays with the image and skips lost points.

    Raises:
        InputError: fewer than two labels, or one that the tracks do not have.
    """
    unknown = [label for label in labels if label not in tracks.labels]
    if unknown:
        raise InputError(f"curve: no point is called {unknown[0]!r}; there are {', '.join(tracks.labels)}")
    if len(labels) < 2:
        raise InputError(f"curve: needs at least two points, got {len(labels)}")
    class_name = "vtkMRMLMarkupsClosedCurveNode" if closed else "vtkMRMLMarkupsCurveNode"
    return adding_markups_sequence(
        image,
        sequence,
        tracks,
        [tracks.labels.index(label) for label in labels],
        class_name=class_name,
        name=name or f"{sequence.name} wall",
        show_points=False,
        style=lambda proxy: show_curve(proxy, sequence),
    )


def adding_trajectories(
    image: SequenceNodes, sequence: ImageSequence, tracks: PointTracks
) -> Steps[tuple[slicer.vtkMRMLMarkupsCurveNode, ...]]:
    """Adds the path of each point as a thin static curve `<clip> path of <label>`.

    Frames where the point was lost are left out; a point that was visible in fewer than two frames gets no path.
    """
    positions = pixels_to_ras_mm(sequence, tracks.positions_px)
    seen = tracks.visible & np.isfinite(tracks.positions_px).all(axis=2)
    curves = []
    for number, label in enumerate(tracks.labels):
        yield number, len(tracks.labels), "drawing the paths"
        path = positions[seen[:, number], number]
        if len(path) < 2:
            continue
        path = path[np.unique(np.linspace(0, len(path) - 1, _MAXIMUM_PATH_POINTS).astype(int))]
        curve = slicer.vtkMRMLMarkupsCurveNode()
        _draw_path(curve, path)
        yield number, len(tracks.labels), "drawing the paths"
        image.check_in_scene()
        curve.SetName(image.scene.GenerateUniqueName(f"{sequence.name} path of {label}"))
        image.scene.AddNode(curve)
        curve.SetAndObserveTransformNodeID(image.proxy.GetTransformNodeID())
        curve.CreateDefaultDisplayNodes()
        was_modifying = curve.GetDisplayNode().StartModify()
        show_curve(curve, sequence, point_color(number), width=0.002)
        curve.GetDisplayNode().EndModify(was_modifying)
        curves.append(curve)
    return tuple(curves)


def _draw_path(curve: slicer.vtkMRMLMarkupsCurveNode, path_ras: np.ndarray) -> None:
    points = vtk.vtkPoints()
    points.SetDataTypeToDouble()
    for position in path_ras:
        points.InsertNextPoint(position)
    was_modifying = curve.StartModify()
    curve.SetCurveTypeToLinear()
    curve.SetControlPointPositionsWorld(points)
    for control in range(curve.GetNumberOfControlPoints()):
        curve.SetNthControlPointVisibility(control, False)
    curve.SetLocked(True)
    curve.EndModify(was_modifying)
