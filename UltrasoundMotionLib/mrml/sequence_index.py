"""The index of a sequence node: what its items are numbered by, and the very texts of the values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.images import ImageSequence

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
