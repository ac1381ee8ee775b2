"""The runs of Motion Propagation, in short steps between which the application goes on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.carried_files import writing
from UltrasoundMotionLib.mrml.carried_measures import MeasureNodes, ObjectMeasures, adding_measures, measuring
from UltrasoundMotionLib.mrml.carrying import CarriedObject, carried_object, carrying
from UltrasoundMotionLib.mrml.node_removal import undone_unless_finished
from UltrasoundMotionLib.mrml.object_motion import ObjectMotion
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes
from UltrasoundMotionLib.mrml.transform_sequences import (
    SampledMotion,
    add_mean,
    adding_motion,
    inverting,
    sampling,
    smoothed_motion,
)
from UltrasoundMotionLib.steps import Steps
from UltrasoundMotionModuleLib.motion_propagation.choices import Operation, Smoothing, TimeUnit


@dataclass(frozen=True)
class MeasuredObject:
    """An object on every frame with its measures over time.

    Attributes:
        nodes: its sequence, proxy and browser.
        notes: doubts about the result.
        measures, measureNodes: None for what has none, such as an image.
    """

    nodes: SequenceNodes
    notes: tuple[str, ...]
    measures: ObjectMeasures | None
    measureNodes: MeasureNodes | None


@dataclass(frozen=True)
class MadeTransforms:
    """The result of an operation on a sequence of transforms.

    Attributes:
        node: the proxy of the new sequence, or the mean transform.
        nodes: the new sequence; None for a mean.
        notes: how exact it is, one sentence each.
    """

    node: slicer.vtkMRMLTransformNode
    nodes: SequenceNodes | None
    notes: tuple[str, ...]


def carryAndMeasure(node: slicer.vtkMRMLTransformableNode, motion: ObjectMotion, frame: int) -> Steps[MeasuredObject]:
    """Carries an object along and measures it; raises InputError as `carrying`. Cancelled, it leaves nothing."""
    return undone_unless_finished(node.GetScene(), _carryAndMeasure(node, motion, frame))


def _carryAndMeasure(node: slicer.vtkMRMLTransformableNode, motion: ObjectMotion, frame: int) -> Steps[MeasuredObject]:
    carried: CarriedObject = yield from carrying(node, motion, frame)
    nodes, notes = carried.nodes, carried.notes
    try:
        measures = yield from measuring(nodes)
    except InputError:  # an image, or a model without a surface: it has no measures, and is carried all the same
        return MeasuredObject(nodes, notes, None, None)
    return MeasuredObject(nodes, notes, measures, (yield from adding_measures(nodes, measures)))


def measureAgain(proxy: slicer.vtkMRMLNode) -> Steps[MeasuredObject]:
    """Measures an object that plays in a browser, as after its frames were edited; raises InputError as `measuring`."""
    nodes = carried_object(proxy)
    measures = yield from measuring(nodes)
    return MeasuredObject(nodes, (), measures, (yield from adding_measures(nodes, measures)))


def exportFrames(proxy: slicer.vtkMRMLNode, folder: str | Path, fileFormat: str) -> Steps[Path]:
    """Writes one file for each frame into a new folder; raises as `writing`."""
    return (yield from writing(carried_object(proxy), folder, fileFormat))


@dataclass(frozen=True)
class SmoothingWidth:
    """The smoothing over time of a sequence of transforms."""

    width: float
    method: Smoothing = Smoothing.GAUSSIAN
    unit: TimeUnit = TimeUnit.FRAMES
    periodic: bool = False


def makeTransforms(
    proxy: slicer.vtkMRMLTransformNode, operation: Operation, smoothing: SmoothingWidth | None = None
) -> Steps[MadeTransforms]:
    """Makes mean, inverse or smoothed transforms beside a sequence; raises InputError as `sampling` and the others."""
    sampled: SampledMotion = yield from sampling(proxy)
    name = f"{sampled.nodes.proxy.GetName()} {operation.value}"
    if operation is Operation.MEAN:
        return MadeTransforms(add_mean(sampled, name), None, sampled.notes)
    notes = sampled.notes
    if operation is Operation.INVERSE:
        inverse = yield from inverting(sampled)
        fields = inverse.displacement_mm
        notes = (*notes, f"exact to {inverse.residual_mm.max():.2g} mm")
    else:
        assert smoothing is not None
        in_seconds = smoothing.unit is TimeUnit.SECONDS
        method = smoothing.method.value
        fields = smoothed_motion(sampled, smoothing.width, method, in_seconds=in_seconds, periodic=smoothing.periodic)
    nodes = yield from adding_motion(sampled, fields, name)
    return MadeTransforms(nodes.proxy, nodes, notes)
