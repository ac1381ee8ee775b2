"""A module's tracking results beside a clip that a user loaded: added, corrected and replaced as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import slicer

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.track_links import derived_nodes, remove_derived
from UltrasoundMotionLib.mrml.tracking_scene import TrackNodes, add_tracks
from UltrasoundMotionLib.mrml.tracks_from_nodes import tracks_from_markups
from UltrasoundMotionLib.mrml.views import show_chart, show_table

CHART, TABLE = "vtkMRMLPlotChartNode", "vtkMRMLTableNode"


def renew_derived(
    image: SequenceNodes, sequence: ImageSequence, landmarks: SequenceNodes, *, trajectories: bool
) -> TrackNodes:
    """Makes paths, tables and plot anew from what the landmarks hold now; a plot or table view that showed the old ones
    shows the new.

    Args:
        landmarks: a point list that `add_landmarks` made.
        trajectories: draw the path of each point.
    """
    tracks = tracks_from_markups(landmarks, image, sequence)
    with kept_in_views(landmarks):
        remove_derived(landmarks)
        return add_tracks(image, sequence, tracks, trajectories=trajectories, landmarks=landmarks)


@contextmanager
def kept_in_views(markups: SequenceNodes) -> Iterator[None]:
    """Lets the plot and table views that show what was made from the markups show what replaces it when the block ends.

    A chart is replaced by the new chart, the first, second ... table by the new one in the same place.
    """
    made = {name: derived_nodes(markups, name) for name in (CHART, TABLE)}
    before = [
        (view, name, made[name].index(_shown(view)))
        for view, name in _views(markups.scene)
        if _shown(view) in made[name]
    ]
    yield
    for view, name, place in before:
        made = derived_nodes(markups, name)
        if made and name == CHART:
            view.SetPlotChartNodeID(made[min(place, len(made) - 1)].GetID())
        elif made:
            view.SetTableNodeID(made[min(place, len(made) - 1)].GetID())


def show_results(landmarks: SequenceNodes) -> None:
    """Lets the first plot view show the displacement and the first table view every position, where they are still
    there.
    """
    for chart in derived_nodes(landmarks, "vtkMRMLPlotChartNode"):
        show_chart(landmarks.scene, chart)
    for table in derived_nodes(landmarks, "vtkMRMLTableNode")[:1]:
        show_table(landmarks.scene, table)


def _views(scene: slicer.vtkMRMLScene) -> list[tuple[slicer.vtkMRMLNode, str]]:
    """Every plot and table view, with the class of what it shows."""
    classes = (("vtkMRMLPlotViewNode", CHART), ("vtkMRMLTableViewNode", TABLE))
    return [
        (scene.GetNthNodeByClass(number, name), shown)
        for name, shown in classes
        for number in range(scene.GetNumberOfNodesByClass(name))
    ]


def _shown(view: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode | None:
    return view.GetPlotChartNode() if view.IsA("vtkMRMLPlotViewNode") else view.GetTableNode()
