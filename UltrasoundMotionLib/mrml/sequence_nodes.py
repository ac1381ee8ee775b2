"""A sequence node with its index, the proxy node that shows its current item, and the browser that plays it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class

_TOLERANCE = 1e-6
"""Smallest difference of index values. Slicer's default is 0.001: frames closer in time would replace each other."""


@dataclass(frozen=True)
class SequenceIndex:
    """The index of a sequence node.

    Attributes:
        name: "time" or "frame", or the name of an existing sequence's index.
        unit: "s", or "" for frames.
        kind: Slicer's index type, `vtkMRMLSequenceNode.NumericIndex` or `TextIndex`.
        values: index value of each item, as the text that is stored.
        tolerance: values closer than this are the same item to Slicer.
    """

    name: str
    unit: str
    kind: int
    values: tuple[str, ...]
    tolerance: float = _TOLERANCE

    @classmethod
    def of_image(cls, sequence: ImageSequence) -> SequenceIndex:
        """Makes the index of a clip: seconds to the nanosecond where times are known, else frame numbers from 0."""
        numeric = slicer.vtkMRMLSequenceNode.NumericIndex
        if sequence.times_s is None:
            return cls("frame", "", numeric, tuple(str(frame) for frame in range(len(sequence))))
        shortest = float(np.min(np.diff(sequence.times_s), initial=1.0))
        return cls(
            "time",
            "s",
            numeric,
            tuple(repr(round(float(time), 9)) for time in sequence.times_s),
            min(_TOLERANCE, shortest / 4),
        )

    @classmethod
    def of_node(cls, node: slicer.vtkMRMLSequenceNode) -> SequenceIndex:
        """Returns the index of an existing sequence node, its values unchanged."""
        values = tuple(node.GetNthIndexValue(item) for item in range(node.GetNumberOfDataNodes()))
        return cls(
            node.GetIndexName(),
            node.GetIndexUnit(),
            node.GetIndexType(),
            values,
            min(_TOLERANCE, node.GetNumericIndexValueTolerance()),
        )

    def apply(self, node: slicer.vtkMRMLSequenceNode) -> None:
        """Sets name, unit, type and tolerance of an empty sequence node; its items are then added with `values`."""
        node.SetIndexName(self.name)
        node.SetIndexUnit(self.unit)
        node.SetIndexType(self.kind)
        node.SetNumericIndexValueTolerance(self.tolerance)

    def times_s(self) -> np.ndarray | None:
        """Returns the times (T,) in seconds, or None where the index is not a strictly increasing time."""
        scale = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3}.get(self.unit.strip().lower())
        if scale is None or self.kind != slicer.vtkMRMLSequenceNode.NumericIndex:
            return None
        try:
            times = np.array([float(value) for value in self.values]) * scale
        except ValueError:
            return None
        return times if np.all(np.isfinite(times)) and np.all(np.diff(times) > 0) else None


@dataclass(frozen=True)
class SequenceNodes:
    """A sequence node with its proxy and its browser.

    Attributes:
        sequence: vtkMRMLSequenceNode that holds one item for each frame.
        proxy: the node that shows the browser's current item.
        browser: the vtkMRMLSequenceBrowserNode that plays it, and possibly other sequences.
    """

    sequence: slicer.vtkMRMLSequenceNode
    proxy: slicer.vtkMRMLNode
    browser: slicer.vtkMRMLSequenceBrowserNode

    @property
    def scene(self) -> slicer.vtkMRMLScene:
        """The scene of the nodes."""
        return self.browser.GetScene()

    @property
    def index(self) -> SequenceIndex:
        """The index of the sequence."""
        return SequenceIndex.of_node(self.sequence)

    @property
    def shown_item(self) -> int:
        """The number of the item that the proxy shows."""
        selected = max(self.browser.GetSelectedItemNumber(), 0)
        master = self.browser.GetMasterSequenceNode()
        if master is self.sequence or master is None:
            return selected
        return self.sequence.GetItemNumberFromIndexValue(master.GetNthIndexValue(selected), False)

    def check_in_scene(self) -> None:
        """Raises InputError where the user has removed one of the nodes from the scene."""
        if None in (self.sequence.GetScene(), self.proxy.GetScene(), self.browser.GetScene()):
            raise InputError(f"{self.proxy.GetName()}: was removed from the scene in the meantime")

    def check_unchanged(self, index: SequenceIndex) -> None:
        """Raises InputError where the user has removed one of the nodes, or added or removed items."""
        self.check_in_scene()
        if self.index.values != index.values:
            raise InputError(f"{self.proxy.GetName()}: its frames were changed in the meantime; run it again")


def find_sequence_nodes(node: slicer.vtkMRMLNode) -> SequenceNodes:
    """Returns the sequence, proxy and browser that a node belongs to.

    Args:
        node: any of the three; a browser stands for its master sequence.

    Raises:
        InputError: no browser plays the node, or it was removed from the scene.
    """
    if node.GetScene() is None:
        raise InputError(f"{node.GetName()}: was removed from the scene")
    if node.IsA("vtkMRMLSequenceBrowserNode"):
        browser, sequence = node, node.GetMasterSequenceNode()
    elif node.IsA("vtkMRMLSequenceNode"):
        browser, sequence = next(iter(browsers_of(node)), None), node
    else:
        browser = next(
            (candidate for candidate in _browsers(node.GetScene()) if candidate.IsProxyNodeID(node.GetID())), None
        )
        sequence = browser.GetSequenceNode(node) if browser is not None else None
    proxy = browser.GetProxyNode(sequence) if browser is not None and sequence is not None else None
    if proxy is None:
        raise InputError(
            f"{node.GetName()}: no sequence browser plays this node; load the clip as a sequence and select that"
        )
    return SequenceNodes(sequence, proxy, browser)


def create_sequence(scene: slicer.vtkMRMLScene, name: str, index: SequenceIndex) -> slicer.vtkMRMLSequenceNode:
    """Adds an empty sequence node with this index.

    Fill it before a browser plays it: each later change updates every proxy.
    """
    sequence = scene.AddNewNodeByClass("vtkMRMLSequenceNode", scene.GenerateUniqueName(name))
    index.apply(sequence)
    return sequence


def create_browser(
    scene: slicer.vtkMRMLScene,
    name: str,
    sequence: slicer.vtkMRMLSequenceNode,
    proxy: slicer.vtkMRMLNode,
    frame_rate_hz: float | None,
) -> SequenceNodes:
    """Adds a browser with `sequence` as master that plays at the frame rate, 10 Hz where it is unknown."""
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", scene.GenerateUniqueName(name))
    # In one event: a browser that has a master but no proxy makes its own at once.
    was_modifying = browser.StartModify()
    browser.SetPlaybackRateFps(frame_rate_hz or 10.0)
    browser.SetIndexDisplayFormat("%.3f" if sequence.GetIndexUnit() == "s" else "%.0f")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(proxy, sequence, False)
    browser.SetOverwriteProxyName(sequence, False)
    browser.EndModify(was_modifying)
    return SequenceNodes(sequence, proxy, browser)


def add_with_proxy(
    image: SequenceNodes, sequence: slicer.vtkMRMLSequenceNode, class_name: str, name: str
) -> slicer.vtkMRMLNode:
    """Adds a filled sequence to the image's scene; returns its new proxy, under the image's transform and in no browser
    yet.
    """
    scene = image.scene
    sequence.SetName(scene.GenerateUniqueName(f"{name} sequence"))
    scene.AddNode(sequence)
    proxy = scene.AddNewNodeByClass(class_name, scene.GenerateUniqueName(name))
    proxy.SetAndObserveTransformNodeID(image.proxy.GetTransformNodeID())
    return proxy


def join_browser(
    browser: slicer.vtkMRMLSequenceBrowserNode,
    sequence: slicer.vtkMRMLSequenceNode,
    proxy: slicer.vtkMRMLNode,
    *,
    editable: bool,
) -> SequenceNodes:
    """Adds a sequence and its proxy to a browser; the proxy shows the current item at once.

    Args:
        editable: store changes that a user makes to the proxy in the sequence (Slicer's "save changes"); otherwise
            they are lost on the next step.
    """
    was_modifying = browser.StartModify()
    browser.AddProxyNode(proxy, sequence, False)
    browser.SetOverwriteProxyName(sequence, False)
    browser.SetSaveChanges(sequence, editable)
    browser.EndModify(was_modifying)
    return SequenceNodes(sequence, proxy, browser)


def browsers_of(sequence: slicer.vtkMRMLSequenceNode) -> list[slicer.vtkMRMLSequenceBrowserNode]:
    """Returns the browsers that play a sequence node."""
    return [
        browser
        for browser in _browsers(sequence.GetScene())
        if browser.IsSynchronizedSequenceNodeID(sequence.GetID(), True)
    ]


def _browsers(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSequenceBrowserNode]:
    return nodes_of_class(scene, "vtkMRMLSequenceBrowserNode")
