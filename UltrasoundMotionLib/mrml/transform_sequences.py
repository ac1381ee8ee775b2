"""Mean, inverse and smoothing over time of a sequence of transforms, as new transforms beside it.

Each is computed from displacements sampled on one grid: that of the sequence's own displacement fields, or one over the
image that plays with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.displacement_transforms import (
    Carries,
    DisplacementGrid,
    add_displacement_transform,
    displacement_item,
)
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS, geometry_of
from UltrasoundMotionLib.mrml.node_removal import undone_on_error
from UltrasoundMotionLib.mrml.object_motion import ItemTransform, image_of_browser
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, add_with_proxy, find_sequence_nodes, join_browser
from UltrasoundMotionLib.mrml.subject_hierarchy import put_in_folder
from UltrasoundMotionLib.propagation.inversion import invert_points
from UltrasoundMotionLib.propagation.temporal_smoothing import SmoothingMethod, smoothing_matrix
from UltrasoundMotionLib.steps import Steps

_MOST_SAMPLES = 64
"""Samples along an axis of an image, at most, where the transforms have no grid of their own."""

_CHUNK = 1500
_LINEAR_NOTE = "the transforms are linear; the result is a field over the image"


@dataclass(frozen=True, eq=False)
class SampledMotion:
    """The displacements of a sequence of transforms on one grid.

    Attributes:
        nodes: the sequence.
        displacement_mm: (T, K, J, I, 3) LPS mm: the transform to parent of each item takes x to x + u(x).
        spacing_mm, origin_mm, direction: the grid, see `DisplacementGrid`.
        notes: doubts, one sentence each.
    """

    nodes: SequenceNodes
    displacement_mm: np.ndarray
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: np.ndarray
    notes: tuple[str, ...] = ()

    def grid(self, displacement_mm: np.ndarray) -> DisplacementGrid:
        """Returns a field (K, J, I, 3) on the grid."""
        return DisplacementGrid(displacement_mm, self.spacing_mm, self.origin_mm, self.direction)

    def points_ras(self) -> np.ndarray:
        """Returns the nodes of the grid, (K J I, 3) RAS mm, the first axis fastest."""
        size = np.array(self.displacement_mm.shape[3:0:-1])
        return _grid_points(size, np.asarray(self.spacing_mm), np.asarray(self.origin_mm), self.direction)


@dataclass(frozen=True, eq=False)
class InvertedMotion:
    """The inverse of each transform of a sequence.

    Attributes:
        displacement_mm: as those of `SampledMotion`.
        residual_mm: (T,) largest distance of a node of the grid from where the inverse and then the transform take it.
    """

    displacement_mm: np.ndarray
    residual_mm: np.ndarray


def sampling(node: slicer.vtkMRMLNode) -> Steps[SampledMotion]:
    """Samples the transforms of a sequence on one grid, in short steps.

    Args:
        node: the sequence or its proxy.

    Raises:
        InputError: no browser plays it, items that are no transforms, or transforms without a grid in a browser without
            an image.
    """
    nodes = find_sequence_nodes(node)
    items = [nodes.sequence.GetNthDataNode(number) for number in range(nodes.sequence.GetNumberOfDataNodes())]
    for number, item in enumerate(items):
        if item is None or not item.IsA("vtkMRMLTransformNode"):
            found = item.GetClassName() if item is not None else "missing"
            raise InputError(f"{nodes.sequence.GetName()}: item {number} is {found}, expected a transform")
    transforms = []
    for number, item in enumerate(items):
        yield number, len(items), "reading the transforms"
        transforms.append(ItemTransform(item))
    size, spacing, origin, direction = _common_grid(nodes, transforms)
    points = _grid_points(size, spacing, origin, direction)
    fields = np.empty((len(items), len(points), 3))
    for number, transform in enumerate(transforms):
        for start in range(0, len(points), _CHUNK):
            yield number, len(items), "sampling the transforms"
            part = points[start : start + _CHUNK]
            fields[number, start : start + _CHUNK] = (transform.forward(part) - part) * LPS_TO_RAS
    linear = all(transform.is_linear for transform in transforms)
    shape = (len(items), *(int(length) for length in size[::-1]), 3)
    return SampledMotion(
        nodes, fields.reshape(shape), tuple(spacing), tuple(origin), direction, (_LINEAR_NOTE,) if linear else ()
    )


def _common_grid(
    nodes: SequenceNodes, transforms: list[ItemTransform]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns size (3,), spacing (3,), origin (3,) and direction (3, 3) in LPS."""
    for transform in transforms:
        if transform.is_displacement_grid:
            to_index, size = transform.grids[0]
            to_ras = np.linalg.inv(to_index)
            spacing = np.linalg.norm(to_ras[:3, :3], axis=0)
            return size, spacing, to_ras[:3, 3] * LPS_TO_RAS, LPS_TO_RAS[:, None] * to_ras[:3, :3] / spacing
    image = image_of_browser(nodes)
    if image is None:
        raise InputError(
            f"{nodes.sequence.GetName()}: its transforms have no grid, and no image plays with them that could give"
            " one; add the sequence to the browser of its image"
        )
    size = np.array(image.GetImageData().GetDimensions())
    spacing, origin, direction = geometry_of(image)
    samples = np.minimum(size, _MOST_SAMPLES)
    steps = np.where(samples > 1, (size - 1) / np.maximum(samples - 1, 1), 1.0)
    return samples, spacing * steps, origin, direction


def _grid_points(size: np.ndarray, spacing: np.ndarray, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Returns the nodes of a grid in RAS mm (N, 3), the first axis fastest."""
    axes = np.meshgrid(*[np.arange(length) for length in size[::-1]], indexing="ij")
    index = np.stack(axes[::-1], axis=-1).reshape(-1, 3)
    return ((index * spacing) @ np.asarray(direction).T + origin) * LPS_TO_RAS


def mean_motion(sampled: SampledMotion) -> np.ndarray:
    """Returns the mean displacement (K, J, I, 3) at each node of the grid, over the frames."""
    return sampled.displacement_mm.mean(axis=0)


def inverting(sampled: SampledMotion) -> Steps[InvertedMotion]:
    """Inverts each transform at every node of the grid by fixed-point iteration, in short steps.

    The transforms themselves are inverted, not their samples. Outside of their grid they continue as Slicer does.
    """
    sequence, points = sampled.nodes.sequence, sampled.points_ras()
    count = len(sampled.displacement_mm)
    fields, residual = np.empty((count, len(points), 3)), np.zeros(count)
    for number in range(count):
        transform = ItemTransform(sequence.GetNthDataNode(number))
        for start in range(0, len(points), _CHUNK):
            yield number, count, "inverting the transforms"
            part = points[start : start + _CHUNK]
            found = invert_points(transform.forward, part)
            fields[number, start : start + _CHUNK] = (found.points_mm - part) * LPS_TO_RAS
            residual[number] = max(residual[number], float(found.residual_mm.max()))
    return InvertedMotion(fields.reshape(sampled.displacement_mm.shape), residual)


def smoothed_motion(
    sampled: SampledMotion, width: float, method: SmoothingMethod, *, in_seconds: bool, periodic: bool = False
) -> np.ndarray:
    """Returns the displacements smoothed over time, (T, K, J, I, 3); see `smoothing_matrix`.

    The motion of the reference frame is smoothed too: it is no longer exactly at rest.

    Args:
        in_seconds: `width` is in seconds, otherwise in frames.

    Raises:
        InputError: times that are not known, and as `smoothing_matrix`.
    """
    count = len(sampled.displacement_mm)
    times = sampled.nodes.index.times_s() if in_seconds else np.arange(float(count))
    if times is None:
        raise InputError(f"{sampled.nodes.sequence.GetName()}: its times are not known; give the width in frames")
    weights = smoothing_matrix(times, width, method, periodic=periodic)
    return np.tensordot(weights, sampled.displacement_mm, axes=1)


def adding_motion(sampled: SampledMotion, displacement_mm: np.ndarray, name: str) -> Steps[SequenceNodes]:
    """Adds displacements (T, K, J, I, 3) as a transform sequence in the browser of the sampled one, in short steps.

    Raises:
        InputError: the sampled sequence was removed or changed in the meantime.
    """
    source, loose = sampled.nodes, slicer.vtkMRMLSequenceNode()
    index = source.index
    index.apply(loose)
    for number, value in enumerate(index.values):
        yield number, len(index.values), "putting the displacement fields into the scene"
        item = displacement_item(sampled.grid(displacement_mm[number]), name, Carries.FIXED_TO_MOVING)
        loose.SetDataNodeAtValue(item, value)
    _check_there(sampled)
    scene = source.scene
    with undone_on_error(scene):
        proxy = add_with_proxy(source, loose, "vtkMRMLTransformNode", name)
        nodes = join_browser(source.browser, loose, proxy, editable=False)
        put_in_folder(scene, source.proxy, (proxy,), f"{source.proxy.GetName()} results")
    return nodes


def add_mean(sampled: SampledMotion, name: str) -> slicer.vtkMRMLTransformNode:
    """Adds the mean displacement as one transform beside the sequence."""
    _check_there(sampled)
    source = sampled.nodes
    with undone_on_error(source.scene):
        grid = sampled.grid(mean_motion(sampled))
        node = add_displacement_transform(source.scene, grid, name, carries=Carries.FIXED_TO_MOVING)
        node.SetAndObserveTransformNodeID(source.proxy.GetTransformNodeID())
        put_in_folder(source.scene, source.proxy, (node,), f"{source.proxy.GetName()} results")
    return node


def _check_there(sampled: SampledMotion) -> None:
    sequence = sampled.nodes.sequence
    if (
        sampled.nodes.proxy.GetScene() is None
        or sequence.GetScene() is None
        or sequence.GetNumberOfDataNodes() != len(sampled.displacement_mm)
    ):
        raise InputError("the transform sequence was removed or changed in the meantime; start again")
