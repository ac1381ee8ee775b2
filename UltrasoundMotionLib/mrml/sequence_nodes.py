"""A sequence node with its index, the proxy node that shows its current item, and the browser that plays it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class

TOLERANCE = 1e-6
"""Slicer's own is 0.001: frames closer in time than that would silently replace each other."""


@dataclass(frozen=True)
class SequenceIndex:
    """What numbers the items of a sequence node.

    Attributes:
        name: "time" or "frame", or whatever an existing sequence says.
        unit: "s", or "" for frames.
        kind: Slicer's index type, `vtkMRMLSequenceNode.NumericIndex` or `TextIndex`.
        values: one text for each item, as stored.
        tolerance: values closer than this are the same item to Slicer.
    """

    name: str
    unit: str
    kind: int
    values: tuple[str, ...]
    tolerance: float = TOLERANCE

    @classmethod
    def of_image(cls, sequence: ImageSequence) -> SequenceIndex:
        """Seconds to the nanosecond where the frame times are known, else the frame's number from 0."""
        numeric = slicer.vtkMRMLSequenceNode.NumericIndex
        if sequence.times_s is None:
            return cls("frame", "", numeric, tuple(str(frame) for frame in range(len(sequence))))
        shortest = float(np.min(np.diff(sequence.times_s), initial=1.0))
        return cls(
            "time",
            "s",
            numeric,
            tuple(repr(round(float(time), 9)) for time in sequence.times_s),
            min(TOLERANCE, shortest / 4),
        )

    @classmethod
    def of_node(cls, node: slicer.vtkMRMLSequenceNode) -> SequenceIndex:
        """The index of an existing sequence node, text for text."""
        values = tuple(node.GetNthIndexValue(item) for item in range(node.GetNumberOfDataNodes()))
        return cls(
            node.GetIndexName(),
            node.GetIndexUnit(),
            node.GetIndexType(),
            values,
            min(TOLERANCE, node.GetNumericIndexValueTolerance()),
        )

    def apply(self, node: slicer.vtkMRMLSequenceNode) -> None:
        """Gives an empty sequence node this name, unit, type and tolerance; its items are added with `values`."""
        node.SetIndexName(self.name)
        node.SetIndexUnit(self.unit)
        node.SetIndexType(self.kind)
        node.SetNumericIndexValueTolerance(self.tolerance)

    def times_s(self) -> np.ndarray | None:
        """(T,) seconds, or None where the index is not a strictly increasing time."""
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
    """What is played together under one name.

    Attributes:
        sequence: vtkMRMLSequenceNode that holds one item for each frame.
        proxy: the node that shows the browser's current item.
        browser: the vtkMRMLSequenceBrowserNode that plays it, and possibly others.
    """

    sequence: slicer.vtkMRMLSequenceNode
    proxy: slicer.vtkMRMLNode
    browser: slicer.vtkMRMLSequenceBrowserNode

    @property
    def scene(self) -> slicer.vtkMRMLScene:
        """The scene the nodes live in."""
        return self.browser.GetScene()

    @property
    def index(self) -> SequenceIndex:
        """What numbers the items."""
        return SequenceIndex.of_node(self.sequence)


def find_sequence_nodes(node: slicer.vtkMRMLNode) -> SequenceNodes:
    """The sequence, proxy and browser that `node` belongs to; it may be any of the three (of a browser the master
    sequence is meant).

    Raises:
        InputError: no browser plays it.
    """
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
    """An empty sequence node with that index.

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
    """A browser whose master is `sequence`, which plays at the frame rate (10 frames a second where it is unknown)."""
    browser = scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", scene.GenerateUniqueName(name))
    # One event for all of it: a browser that is told of its master alone makes a proxy of its own at once.
    was_modifying = browser.StartModify()
    browser.SetPlaybackRateFps(frame_rate_hz or 10.0)
    browser.SetIndexDisplayFormat("%.3f" if sequence.GetIndexUnit() == "s" else "%.0f")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    browser.AddProxyNode(proxy, sequence, False)
    browser.SetOverwriteProxyName(sequence, False)
    browser.EndModify(was_modifying)
    return SequenceNodes(sequence, proxy, browser)


def join_browser(
    browser: slicer.vtkMRMLSequenceBrowserNode,
    sequence: slicer.vtkMRMLSequenceNode,
    proxy: slicer.vtkMRMLNode,
    *,
    editable: bool,
) -> SequenceNodes:
    """Lets `browser` play `sequence` through `proxy` too; the proxy shows the current item at once.

    Args:
        editable: what a user changes on the proxy is kept in the sequence (Slicer's "save changes"); else it is lost on
            the next step.
    """
    was_modifying = browser.StartModify()
    browser.AddProxyNode(proxy, sequence, False)
    browser.SetOverwriteProxyName(sequence, False)
    browser.SetSaveChanges(sequence, editable)
    browser.EndModify(was_modifying)
    return SequenceNodes(sequence, proxy, browser)


def browsers_of(sequence: slicer.vtkMRMLSequenceNode) -> list[slicer.vtkMRMLSequenceBrowserNode]:
    """The browsers that play a sequence node."""
    return [
        browser
        for browser in _browsers(sequence.GetScene())
        if browser.IsSynchronizedSequenceNodeID(sequence.GetID(), True)
    ]


def _browsers(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLSequenceBrowserNode]:
    return nodes_of_class(scene, "vtkMRMLSequenceBrowserNode")
