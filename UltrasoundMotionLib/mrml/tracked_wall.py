"""A tracked wall in the scene: one moving curve for each layer, which belong together and to their clip, in a saved
scene too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.live_tracks import LiveTracks
from UltrasoundMotionLib.mrml.node_removal import remove_sequence
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes
from UltrasoundMotionLib.mrml.track_corrections import corrected_labels, placed_labels, points_on_frame
from UltrasoundMotionLib.mrml.track_links import image_of, link_results, remove_derived
from UltrasoundMotionLib.mrml.track_nodes import add_curve
from UltrasoundMotionLib.mrml.tracks_from_nodes import tracks_from_markups
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.strain.wall_layers import LAYER_NAMES
from UltrasoundMotionLib.tracking import PointTracks

LAYER_ROLE = "ultrasoundMotionLayer"
MAIN_ROLE = "ultrasoundMotionMainLayer"
VIEW_ATTRIBUTE = "UltrasoundMotion.View"
LAYER_ATTRIBUTE = "UltrasoundMotion.Layer"
MAIN_LAYER = "mid"


@dataclass(frozen=True)
class TrackedWall:
    """Nodes of one tracked wall.

    Attributes:
        image: the clip.
        layers: the curve of each layer by its name, from the inner to the outer one; "mid" alone where one was tracked.
    """

    image: SequenceNodes
    layers: Mapping[str, SequenceNodes]

    @property
    def main(self) -> SequenceNodes:
        """The middle layer, to which tables, chart and colours belong."""
        return self.layers[MAIN_LAYER]

    @property
    def curve(self) -> slicer.vtkMRMLMarkupsCurveNode:
        """The middle layer on the frame shown."""
        return self.main.proxy

    @property
    def view(self) -> str:
        """A name of `segment_model`."""
        return self.main.sequence.GetAttribute(VIEW_ATTRIBUTE)

    def labels(self, layer: str = MAIN_LAYER) -> tuple[str, ...]:
        """The points of a layer, in order."""
        item = self.layers[layer].sequence.GetNthDataNode(0)
        return tuple(item.GetNthControlPointLabel(control) for control in range(item.GetNumberOfControlPoints()))

    def tracks(self, sequence: ImageSequence) -> PointTracks:
        """What the curves hold now, corrections included: the points of all layers, the inner one first."""
        parts = [tracks_from_markups(nodes, self.image, sequence) for nodes in self.layers.values()]
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
        """Shows the control points and unlocks them, to be dragged; or hides and locks them again, for quick playback."""
        for nodes in self.layers.values():
            was_modifying = nodes.sequence.StartModify()
            for frame, value in enumerate(nodes.index.values):
                item = nodes.sequence.GetNthDataNode(frame)
                loose = getattr(slicer, item.GetClassName())()
                loose.CopyContent(item)
                for control in range(loose.GetNumberOfControlPoints()):
                    loose.SetNthControlPointVisibility(control, on)
                loose.SetLocked(not on)
                nodes.sequence.UpdateDataNodeAtValue(loose, value)
            nodes.sequence.EndModify(was_modifying)
            if nodes is self.main:
                nodes.proxy.GetDisplayNode().SetVisibility2D(on)  # otherwise the coloured band is in its place

    def to_follow(self, sequence: ImageSequence, frame: int) -> tuple[tuple[str, ...], np.ndarray]:
        """Labels and places (N, 2) in pixels of the points that a user moved on a frame, or of all that are placed
        there if none was moved.
        """
        for chosen in (corrected_labels, lambda nodes, _, frame: placed_labels(nodes, frame)):
            labels = {layer: chosen(nodes, sequence, frame) for layer, nodes in self.layers.items()}
            if any(labels.values()):
                break
        points = [points_on_frame(self.layers[layer], sequence, frame, some) for layer, some in labels.items() if some]
        if not points:
            raise InputError(
                f"{self.curve.GetName()}: no point of the wall is placed on frame {frame}; go to a frame that was tracked"
            )
        return tuple(label for some in labels.values() for label in some), np.concatenate(points)

    def remove(self) -> None:
        """Takes the wall and everything made from it out of the scene; the clip stays."""
        remove_derived(self.main)
        for nodes in self.layers.values():
            remove_sequence(nodes)


def point_labels(layers: Mapping[str, np.ndarray]) -> dict[str, tuple[str, ...]]:
    """A name for each point of each layer: `mid 07`."""
    return {
        layer: tuple(f"{layer} {number + 1:02d}" for number in range(len(points))) for layer, points in layers.items()
    }


def tracked_wall(node: slicer.vtkMRMLNode | None) -> TrackedWall:
    """The wall to which a curve (its proxy or its sequence) belongs.

    Raises:
        InputError: no curve that a run of Myocardial Tracking made, or its clip is gone.
    """
    if node is None:
        raise InputError("no tracked wall is chosen; track one first")
    main = find_sequence_nodes(node).sequence
    main = main.GetNodeReference(MAIN_ROLE) or main
    if main.GetAttribute(VIEW_ATTRIBUTE) is None:
        raise InputError(f"{node.GetName()}: is no tracked wall; choose a curve that Myocardial Tracking made")
    sequences = [
        main,
        *(main.GetNthNodeReference(LAYER_ROLE, number) for number in range(main.GetNumberOfNodeReferences(LAYER_ROLE))),
    ]
    found = {one.GetAttribute(LAYER_ATTRIBUTE): find_sequence_nodes(one) for one in sequences if one is not None}
    return TrackedWall(image_of(found[MAIN_LAYER]), {name: found[name] for name in LAYER_NAMES if name in found})


def is_tracked_wall(node: slicer.vtkMRMLNode) -> bool:
    """Whether `tracked_wall` finds one."""
    try:
        tracked_wall(node)
    except InputError:
        return False
    return True


def walls_in(scene: slicer.vtkMRMLScene) -> tuple[TrackedWall, ...]:
    """Every tracked wall of a scene, in the order in which they were tracked."""
    count = scene.GetNumberOfNodesByClass("vtkMRMLSequenceNode")
    nodes = [scene.GetNthNodeByClass(number, "vtkMRMLSequenceNode") for number in range(count)]
    mains = [node for node in nodes if node.GetAttribute(LAYER_ATTRIBUTE) == MAIN_LAYER and is_tracked_wall(node)]
    return tuple(tracked_wall(node) for node in mains)


class LiveWall:
    """A wall that grows in the scene frame by frame while it is tracked, or of which a part is tracked anew.

    Attributes:
        wall: None until the first frame is there.
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
        """For a new wall.

        Args:
            layers: labels of the points of each layer, in order along the wall.
            name: of the middle curve; `<clip> wall` when None.
        """
        self.wall: TrackedWall | None = None
        self._image, self._sequence, self._layers, self._view, self._name = image, sequence, layers, view, name
        self._live: list[LiveTracks] = []

    @classmethod
    def of_wall(cls, wall: TrackedWall, sequence: ImageSequence) -> LiveWall:
        """For a wall whose points of the same labels are to be replaced frame by frame."""
        live = cls(wall.image, sequence, {name: wall.labels(name) for name in wall.layers}, wall.view)
        live.wall = wall
        live._live = [LiveTracks(sequence, nodes=nodes) for nodes in wall.layers.values()]
        return live

    def show(self, tracks: PointTracks, budget_s: float = math.inf) -> None:
        """Puts the frames that are new since the last call into the scene; see `LiveTracks.show`."""
        if self.wall is None and tracks.reached.any():
            made = {
                layer: LiveTracks(self._sequence, lambda found, layer=layer: self._add(found, layer))
                for layer in self._layers
            }
            for live in made.values():
                live.show(tracks)
            self._live = list(made.values())
            self.wall = self._joined({layer: live.nodes for layer, live in made.items()})
        for live in self._live:
            live.show(tracks, budget_s / len(self._live))

    def _add(self, tracks: PointTracks, layer: str) -> SequenceNodes:
        name = self._name or f"{self._sequence.name} wall"
        closed = segment_model(self._view).closed
        name = name if layer == MAIN_LAYER else f"{name} {layer}"
        nodes = add_curve(self._image, self._sequence, tracks, self._layers[layer], closed=closed, name=name)
        if self._name is not None:
            nodes.proxy.SetName(name)  # the scene numbers a name anew even when its node is gone
        return nodes

    def _joined(self, layers: Mapping[str, SequenceNodes]) -> TrackedWall:
        main = layers[MAIN_LAYER].sequence
        main.SetAttribute(VIEW_ATTRIBUTE, segment_model(self._view).view)
        for layer, nodes in layers.items():
            nodes.sequence.SetAttribute(LAYER_ATTRIBUTE, layer)
            if layer != MAIN_LAYER:
                main.AddNodeReferenceID(LAYER_ROLE, nodes.sequence.GetID())
                nodes.sequence.SetNodeReferenceID(MAIN_ROLE, main.GetID())
        link_results(self._image, layers[MAIN_LAYER])
        return TrackedWall(self._image, dict(layers))
