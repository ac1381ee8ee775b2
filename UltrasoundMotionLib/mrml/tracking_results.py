"""A module's tracking results: recomputed after corrections, and shown in plot and table views."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.table_nodes import tables_for_reading
from UltrasoundMotionLib.mrml.track_links import derived_nodes, removing_derived
from UltrasoundMotionLib.mrml.tracking_scene import TrackNodes, adding_tracks
from UltrasoundMotionLib.mrml.tracks_from_nodes import reading_tracks
from UltrasoundMotionLib.mrml.views import show_chart, show_table
from UltrasoundMotionLib.steps import Steps, not_cancelled, run_steps

_CHART, _TABLE = "vtkMRMLPlotChartNode", "vtkMRMLTableNode"


def renew_derived(
    image: SequenceNodes, sequence: ImageSequence, landmarks: SequenceNodes, *, trajectories: bool
) -> TrackNodes:
    """`renewing_derived` at once."""
    return run_steps(renewing_derived(image, sequence, landmarks, trajectories=trajectories))


def renewing_derived(
    image: SequenceNodes, sequence: ImageSequence, landmarks: SequenceNodes, *, trajectories: bool
) -> Steps[TrackNodes]:
    """Makes paths, tables and plot anew from the landmarks; views that showed the old ones show the new ones.

    Args:
        landmarks: a point list that `add_landmarks` made.
        trajectories: draw the path of each point.

    Raises:
        InputError: clip or landmarks were removed in between.
        StepsCancelled: cancelled; the old ones are gone, since they show what the points were, and there are no new.
    """
    with kept_in_views(landmarks):
        yield from not_cancelled(removing_derived(landmarks))
        tracks = yield from reading_tracks(landmarks, image, sequence)
        return (yield from adding_tracks(image, sequence, tracks, trajectories=trajectories, landmarks=landmarks))


@contextmanager
def kept_in_views(markups: SequenceNodes) -> Iterator[None]:
    """Keeps plot and table views on the nodes derived from the markups while the block replaces these nodes.

    A view of the first, second ... table shows the new table of the same position.
    """
    made = {name: derived_nodes(markups, name) for name in (_CHART, _TABLE)}
    before = [
        (view, name, made[name].index(_shown(view)))
        for view, name in _views(markups.scene)
        if _shown(view) in made[name]
    ]
    yield
    for view, name, place in before:
        renewed = derived_nodes(markups, name)
        if not renewed:
            continue
        node = renewed[min(place, len(renewed) - 1)]
        if name == _CHART:
            view.SetPlotChartNodeID(node.GetID())
        else:
            view.SetTableNodeID(node.GetID())


def show_results(landmarks: SequenceNodes) -> None:
    """Shows the displacement in the first plot view and the rounded positions in the first table view, where they
    exist.
    """
    for chart in derived_nodes(landmarks, "vtkMRMLPlotChartNode"):
        show_chart(landmarks.scene, chart)
    tables = derived_nodes(landmarks, "vtkMRMLTableNode")
    for table in (tables_for_reading(tables) or tables)[:1]:
        show_table(landmarks.scene, table)


def _views(scene: slicer.vtkMRMLScene) -> list[tuple[slicer.vtkMRMLNode, str]]:
    """Returns all plot and table views with the class of the node that they show."""
    classes = (("vtkMRMLPlotViewNode", _CHART), ("vtkMRMLTableViewNode", _TABLE))
    return [(view, shown) for name, shown in classes for view in nodes_of_class(scene, name)]


def _shown(view: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode | None:
    return view.GetPlotChartNode() if view.IsA("vtkMRMLPlotViewNode") else view.GetTableNode()
