"""A tracked wall in a scene: one moving curve per layer, linked to each other and to the clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.live_tracks import LiveTracks
from UltrasoundMotionLib.mrml.markups_items import loose_copy
from UltrasoundMotionLib.mrml.node_removal import remove_sequence, undone_unless_finished
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes
from UltrasoundMotionLib.mrml.track_corrections import corrected_labels, placed_labels, points_on_frame
from UltrasoundMotionLib.mrml.track_links import derived_nodes, image_of, link_results, removing_derived
from UltrasoundMotionLib.mrml.track_nodes import adding_curve
from UltrasoundMotionLib.mrml.tracks_from_nodes import reading_tracks
from UltrasoundMotionLib.steps import Steps, run_steps
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.strain.wall_layers import LAYER_NAMES, MIDDLE_LAYER
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

_LAYER_ROLE = "ultrasoundMotionLayer"
_MAIN_ROLE = "ultrasoundMotionMainLayer"
_VIEW_ATTRIBUTE = "UltrasoundMotion.View"
_LAYER_ATTRIBUTE = "UltrasoundMotion.Layer"


@dataclass(frozen=True)
class TrackedWall:
    """The nodes of one tracked wall.

    Attributes:
        image: the clip.
        layers: the curve of each layer by name, inner layer first; only "mid" where one layer was tracked.
    """

    image: SequenceNodes
    layers: Mapping[str, SequenceNodes]

    @property
    def main(self) -> SequenceNodes:
        """The middle layer, to which tables, chart and colours are linked."""
        return self.layers[MIDDLE_LAYER]

    @property
    def curve(self) -> slicer.vtkMRMLMarkupsCurveNode:
        """The middle layer's curve on the frame shown."""
        return self.main.proxy

    @property
    def view(self) -> str:
        """The view, a name of `segment_model`."""
        return self.main.sequence.GetAttribute(_VIEW_ATTRIBUTE)

    def labels(self, layer: str = MIDDLE_LAYER) -> tuple[str, ...]:
        """Returns the labels of a layer's points, in order."""
        item = self.layers[layer].sequence.GetNthDataNode(0)
        return tuple(item.GetNthControlPointLabel(control) for control in range(item.GetNumberOfControlPoints()))

    def tracks(self, sequence: ImageSequence) -> PointTracks:
        """Returns the tracks of all layers with corrections, inner layer first."""
        return run_steps(self.reading(sequence))

    def reading(self, sequence: ImageSequence) -> Steps[PointTracks]:
        """`tracks` in steps."""
        parts = []
        for nodes in self.layers.values():
            parts.append((yield from reading_tracks(nodes, self.image, sequence)))
        first = parts[0]
        return PointTracks(
            positions_px=np.concatenate([part.positions_px for part in parts], axis=1),
            confidence=np.concatenate([part.confidence for part in parts], axis=1),
            visible=np.concatenate([part.visible for part in parts], axis=1),
            labels=tuple(label for part in parts for label in part.labels),
            query_frame=first.query_frame,
            times_s=first.times_s,
            spacing_mm=first.spacing_mm,
            model=first.model,
        )

    def set_editable(self, on: bool) -> None:
        """Shows and unlocks the control points for dragging, or hides and locks them for fast playback."""
        for nodes in self.layers.values():
            was_modifying = nodes.sequence.StartModify()
            for frame, value in enumerate(nodes.index.values):
                loose = loose_copy(nodes.sequence.GetNthDataNode(frame))
                for control in range(loose.GetNumberOfControlPoints()):
                    loose.SetNthControlPointVisibility(control, on)
                loose.SetLocked(not on)
                nodes.sequence.UpdateDataNodeAtValue(loose, value)
            nodes.sequence.EndModify(was_modifying)
        self.show_points_or_band()

    @property
    def editable(self) -> bool:
        """True while the control points can be dragged."""
        return not self.curve.GetLocked()

    def set_visible(self, on: bool) -> None:
        """Shows the wall in the views, or hides it with everything that is drawn along it."""
        for nodes in self.layers.values():
            nodes.proxy.SetDisplayVisibility(on)
        self.show_points_or_band()

    def show_points_or_band(self) -> None:
        """Shows in slice views either the curve with points to drag or the coloured band, which would cover them; or
        neither where the wall is hidden.
        """
        shown = bool(self.curve.GetDisplayVisibility())
        bands = derived_nodes(self.main, "vtkMRMLModelNode")
        self.curve.GetDisplayNode().SetVisibility2D(self.editable or not bands)
        for band in bands:
            band.SetDisplayVisibility(shown and not self.editable)
        for points in derived_nodes(self.main, "vtkMRMLMarkupsFiducialNode"):
            points.SetDisplayVisibility(shown)

    def to_follow(self, sequence: ImageSequence, frame: int) -> tuple[tuple[str, ...], np.ndarray]:
        """Returns labels and positions (N, 2) in pixels of the points to follow anew from a frame.

        They are the points that a user moved on that frame, or all points that are placed there if none was moved.
        """
        labels = {layer: corrected_labels(nodes, sequence, frame) for layer, nodes in self.layers.items()}
        if not any(labels.values()):
            labels = {layer: placed_labels(nodes, frame) for layer, nodes in self.layers.items()}
        points = [points_on_frame(self.layers[layer], sequence, frame, some) for layer, some in labels.items() if some]
        if not points:
            raise InputError(
                f"{self.curve.GetName()}: no point of the wall is placed on frame {frame};"
                " go to a frame that was tracked"
            )
        return tuple(label for some in labels.values() for label in some), np.concatenate(points)

    def removing(self) -> Steps[None]:
        """Removes the wall and everything derived from it from the scene; the clip stays."""
        yield from removing_derived(self.main)
        for done, nodes in enumerate(self.layers.values()):
            yield done, len(self.layers), "removing the last result"
            remove_sequence(nodes)


def point_labels(layers: Mapping[str, np.ndarray]) -> dict[str, tuple[str, ...]]:
    """Returns the labels of each layer's points: `mid 07`."""
    return {
        layer: tuple(f"{layer} {number + 1:02d}" for number in range(len(points))) for layer, points in layers.items()
    }


def tracked_wall(node: slicer.vtkMRMLNode | None) -> TrackedWall:
    """Returns the wall to which a curve (proxy or sequence) belongs.

    Raises:
        InputError: the node is no curve of a Myocardial Tracking run, or its clip is gone.
    """
    if node is None:
        raise InputError("no tracked wall is chosen; track one first")
    main = find_sequence_nodes(node).sequence
    main = main.GetNodeReference(_MAIN_ROLE) or main
    if main.GetAttribute(_VIEW_ATTRIBUTE) is None:
        raise InputError(f"{node.GetName()}: is no tracked wall; choose a curve that Myocardial Tracking made")
    sequences = [
        main,
        *(
            main.GetNthNodeReference(_LAYER_ROLE, number)
            for number in range(main.GetNumberOfNodeReferences(_LAYER_ROLE))
        ),
    ]
    found = {node.GetAttribute(_LAYER_ATTRIBUTE): find_sequence_nodes(node) for node in sequences if node is not None}
    return TrackedWall(image_of(found[MIDDLE_LAYER]), {name: found[name] for name in LAYER_NAMES if name in found})


def is_tracked_wall(node: slicer.vtkMRMLNode) -> bool:
    """Returns True if a node belongs to a tracked wall."""
    try:
        tracked_wall(node)
    except InputError:
        return False
    return True


def walls_in(scene: slicer.vtkMRMLScene) -> tuple[TrackedWall, ...]:
    """Returns all tracked walls of a scene, in the order of tracking."""
    nodes = nodes_of_class(scene, "vtkMRMLSequenceNode")
    mains = [node for node in nodes if node.GetAttribute(_LAYER_ATTRIBUTE) == MIDDLE_LAYER and is_tracked_wall(node)]
    return tuple(tracked_wall(node) for node in mains)


class LiveWall:
    """A wall that is shown frame by frame while it is tracked, or while points of it are tracked anew.

    Attributes:
        wall: the wall's nodes; None before the first frame.
    """

    def __init__(
        self,
        image: SequenceNodes,
        sequence: ImageSequence,
        layers: Mapping[str, Sequence[str]],
        view: str,
        *,
        name: str | None = None,
    ) -> None:
        """Prepares a new wall.

        Args:
            layers: labels of the points of each layer, in order along the wall.
            name: name of the middle curve; `<clip> wall` when None.
        """
        self.wall: TrackedWall | None = None
        self._image, self._sequence, self._layers, self._view, self._name = image, sequence, layers, view, name
        self._live: list[LiveTracks] = []

    @classmethod
    def of_wall(cls, wall: TrackedWall, sequence: ImageSequence) -> LiveWall:
        """Prepares the replacement, frame by frame, of a wall's points of the same labels."""
        live = cls(wall.image, sequence, {name: wall.labels(name) for name in wall.layers}, wall.view)
        live.wall = wall
        live._live = [LiveTracks(sequence, nodes=nodes) for nodes in wall.layers.values()]
        return live

    def show(self, tracks: PointTracks) -> None:
        """`showing` at once."""
        run_steps(self.showing(tracks))

    def showing(self, tracks: PointTracks) -> Steps[None]:
        """Writes the frames that are new since the last call, as `LiveTracks.showing` does."""
        if self.wall is None and tracks.reached.any():
            self.wall, self._live = yield from undone_unless_finished(self._image.scene, self._adding(tracks))
        for live in self._live:
            yield from live.showing(tracks)

    def _adding(self, tracks: PointTracks) -> Steps[tuple[TrackedWall, list[LiveTracks]]]:
        made = {layer: LiveTracks(self._sequence, partial(self._add, layer)) for layer in self._layers}
        for live in made.values():
            yield from live.showing(tracks)
        wall = self._link_layers({layer: live.nodes for layer, live in made.items() if live.nodes is not None})
        return wall, list(made.values())

    def _add(self, layer: str, tracks: PointTracks) -> Steps[SequenceNodes]:
        name = self._name or f"{self._sequence.name} wall"
        closed = segment_model(self._view).closed
        name = name if layer == MIDDLE_LAYER else f"{name} {layer}"
        nodes = yield from adding_curve(
            self._image, self._sequence, tracks, self._layers[layer], closed=closed, name=name
        )
        if self._name is not None:
            nodes.proxy.SetName(name)  # a name that was used before was given a number
        return nodes

    def _link_layers(self, layers: Mapping[str, SequenceNodes]) -> TrackedWall:
        main = layers[MIDDLE_LAYER].sequence
        main.SetAttribute(_VIEW_ATTRIBUTE, segment_model(self._view).view)
        for layer, nodes in layers.items():
            nodes.sequence.SetAttribute(_LAYER_ATTRIBUTE, layer)
            if layer != MIDDLE_LAYER:
                main.AddNodeReferenceID(_LAYER_ROLE, nodes.sequence.GetID())
                nodes.sequence.SetNodeReferenceID(_MAIN_ROLE, main.GetID())
        link_results(self._image, layers[MIDDLE_LAYER])
        return TrackedWall(self._image, dict(layers))
