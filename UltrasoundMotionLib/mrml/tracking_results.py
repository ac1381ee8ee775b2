"""A module's tracking results beside a clip that a user loaded: added, corrected and replaced as a whole."""

from __future__ import annotations

import slicer

from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.track_links import derived_nodes, remove_derived
from UltrasoundMotionLib.mrml.tracking_scene import TrackNodes, add_tracks
from UltrasoundMotionLib.mrml.tracks_from_nodes import tracks_from_markups
from UltrasoundMotionLib.mrml.views import show_chart, show_table


def renew_derived(image: SequenceNodes, sequence: ImageSequence, landmarks: SequenceNodes, *, trajectories: bool) -> TrackNodes:
    """Makes paths, tables and plot anew from what the landmarks hold now; a plot or table view that showed the old ones shows the new.

    Args:
        landmarks: a point list that `add_landmarks` made.
        trajectories: draw the path of each point.
    """
    tracks = tracks_from_markups(landmarks, image, sequence)
    scene = image.scene
    showing = [view for view in _views(scene) if _shown(view) in derived_nodes(landmarks)]
    remove_derived(landmarks)
    nodes = add_tracks(image, sequence, tracks, trajectories=trajectories, landmarks=landmarks)
    for view in showing:
        if view.IsA("vtkMRMLPlotViewNode"):
            view.SetPlotChartNodeID(nodes.plot.chart.GetID())
        else:
            view.SetTableNodeID(nodes.table.GetID())
    return nodes


def show_results(landmarks: SequenceNodes) -> None:
    """Lets the first plot view show the displacement and the first table view every position, where they are still there."""
    for chart in derived_nodes(landmarks, "vtkMRMLPlotChartNode"):
        show_chart(landmarks.scene, chart)
    for table in derived_nodes(landmarks, "vtkMRMLTableNode")[:1]:
        show_table(landmarks.scene, table)


def _views(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLNode]:
    classes = ("vtkMRMLPlotViewNode", "vtkMRMLTableViewNode")
    return [scene.GetNthNodeByClass(number, name) for name in classes for number in range(scene.GetNumberOfNodesByClass(name))]


def _shown(view: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode | None:
    return view.GetPlotChartNode() if view.IsA("vtkMRMLPlotViewNode") else view.GetTableNode()
