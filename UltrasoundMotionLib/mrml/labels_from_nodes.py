"""Segmentations and label maps on the grid of their image, with names and colours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import vtk_to_numpy

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.registration_pair import parent_before_registration
from UltrasoundMotionLib.mrml.volume_nodes import linear_between, volume_from_node


@dataclass(frozen=True)
class Label:
    """One label above 0.

    Attributes:
        number: its value in the array.
        name: name of the segment, or of the number in the label map's colour table, or "label 3".
        color: (red, green, blue) in [0, 1], or None where unknown.
    """

    number: int
    name: str
    color: tuple[float, float, float] | None = None


@dataclass(frozen=True, eq=False)
class LabelledGrid:
    """The labels of a segmentation or label map.

    Attributes:
        array: (K, J, I) int16 on the grid of the image; 0 is background.
        labels: the labels that occur, in the order of their numbers.
    """

    array: np.ndarray
    labels: tuple[Label, ...]

    def renumbered(self, number_of: dict[int, int]) -> LabelledGrid:
        """Returns the labels with other numbers; those that are not named keep theirs."""
        array = self.array.copy()
        for old, new in number_of.items():
            array[self.array == old] = new
        labels = sorted(
            (replace(label, number=number_of.get(label.number, label.number)) for label in self.labels),
            key=lambda label: label.number,
        )
        return LabelledGrid(array, tuple(labels))


def labels_on_grid(node: slicer.vtkMRMLNode, image: slicer.vtkMRMLVolumeNode) -> LabelledGrid:
    """Resamples a segmentation, label map or volume of whole numbers to the grid of an image, nearest neighbour.

    Both may be under transforms, and their positions in the world count; for an image that an earlier registration
    moved, its position before that, unless its labels were moved with it. Where segments overlap, the later one wins.

    Raises:
        InputError: another kind of node, no label on the image, values that are no whole numbers, a transform that is
            not linear.
    """
    if node.IsA("vtkMRMLSegmentationNode") or node.IsA("vtkMRMLScalarVolumeNode"):
        with _before_registration(image, node) as placed:
            read = _labels_of_segmentation if node.IsA("vtkMRMLSegmentationNode") else _labels_of_volume
            found = read(node, placed)
    else:
        raise InputError(f"{node.GetName()}: expected a segmentation or a label map, got {node.GetClassName()}")
    if not found.labels:
        raise InputError(f"{node.GetName()}: holds nothing where {image.GetName()} is")
    return found


def match_numbers(moving: LabelledGrid, fixed: LabelledGrid) -> LabelledGrid:
    """Renumbers the fixed labels as the moving ones of the same name; without a common name, numbers stay.

    Upper and lower case do not matter. A fixed label without a partner gets a number that no moving label has.
    """
    by_name = {label.name.casefold(): label.number for label in moving.labels}
    if not any(label.name.casefold() in by_name for label in fixed.labels):
        return fixed
    free = max(label.number for label in (*moving.labels, *fixed.labels)) + 1
    number_of = {}
    for label in fixed.labels:
        number_of[label.number] = by_name.get(label.name.casefold(), free)
        free += number_of[label.number] == free
    return fixed.renumbered(number_of)


@contextmanager
def _before_registration(
    image: slicer.vtkMRMLVolumeNode, labels: slicer.vtkMRMLNode
) -> Iterator[slicer.vtkMRMLVolumeNode]:
    """Yields the image at its labels' position: itself, or a copy (sharing pixels) at its place before registration."""
    before = parent_before_registration(image)
    if before is image.GetParentTransformNode() or labels.GetParentTransformNode() is image.GetParentTransformNode():
        yield image
        return
    copy, matrix = image.GetScene().AddNewNodeByClass("vtkMRMLScalarVolumeNode", image.GetName()), vtk.vtkMatrix4x4()
    try:
        image.GetIJKToRASMatrix(matrix)
        copy.SetIJKToRASMatrix(matrix)
        copy.SetAndObserveImageData(image.GetImageData())
        copy.SetAndObserveTransformNodeID(before.GetID() if before is not None else None)
        yield copy
    finally:
        image.GetScene().RemoveNode(copy)


def _labels_of_segmentation(node: slicer.vtkMRMLSegmentationNode, image: slicer.vtkMRMLVolumeNode) -> LabelledGrid:
    segmentation = node.GetSegmentation()
    segments = {
        segmentation.GetNthSegmentID(number): segmentation.GetNthSegment(number)
        for number in range(segmentation.GetNumberOfSegments())
    }
    if not segments:
        raise InputError(f"{node.GetName()}: the segmentation is empty")
    numbers = [segment.GetLabelValue() for segment in segments.values()]
    if max(Counter(numbers).values()) > 1 or min(numbers) < 1:  # segments of different layers may have the same number
        numbers = list(range(1, len(segments) + 1))
    ids, values = vtk.vtkStringArray(), vtk.vtkIntArray()
    for segment_id, number in zip(segments, numbers, strict=True):
        ids.InsertNextValue(segment_id)
        values.InsertNextValue(number)
    merged = slicer.vtkOrientedImageData()
    slicer.vtkSlicerSegmentationsModuleLogic.GenerateMergedLabelmapInReferenceGeometry(
        node, image, ids, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, merged, values
    )
    scalars = merged.GetPointData().GetScalars()
    size = image.GetImageData().GetDimensions()
    if scalars is None or merged.GetDimensions() != size:
        raise InputError(f"{node.GetName()}: the segments cannot be drawn on the grid of {image.GetName()}")
    array = vtk_to_numpy(scalars).reshape(size[::-1]).astype(np.int16)
    present = set(np.unique(array).tolist())
    labels = [
        Label(number, segment.GetName(), tuple(segment.GetColor()))
        for number, segment in zip(numbers, segments.values(), strict=True)
        if number in present
    ]
    return LabelledGrid(array, tuple(sorted(labels, key=lambda label: label.number)))


def _labels_of_volume(node: slicer.vtkMRMLScalarVolumeNode, image: slicer.vtkMRMLVolumeNode) -> LabelledGrid:
    labels, target = volume_from_node(node), volume_from_node(image)
    to_labels = linear_between(image.GetParentTransformNode(), node.GetParentTransformNode(), node.GetName())
    array = _resample_nearest(labels, target, to_labels)
    if array.dtype.kind == "f" and not np.array_equal(array, np.round(array)):
        raise InputError(
            f"{node.GetName()}: labels must be whole numbers,"
            f" got values such as {array[array != np.round(array)].flat[0]:g}"
        )
    limits = np.iinfo(np.int16)
    if array.min() < 0 or array.max() > limits.max:
        raise InputError(
            f"{node.GetName()}: labels must lie between 0 and {limits.max}, got {array.min():g} to {array.max():g}"
        )
    array = array.astype(np.int16)
    display = node.GetDisplayNode()
    colors = display.GetColorNode() if display is not None and node.IsA("vtkMRMLLabelMapVolumeNode") else None
    return LabelledGrid(array, tuple(_label(int(number), colors) for number in np.unique(array) if number > 0))


def _label(number: int, colors: slicer.vtkMRMLColorNode | None) -> Label:
    if colors is None or number >= colors.GetNumberOfColors():
        return Label(number, f"label {number}")
    rgba = [0.0] * 4
    colors.GetColor(number, rgba)
    return Label(number, colors.GetColorName(number) or f"label {number}", (rgba[0], rgba[1], rgba[2]))


def _resample_nearest(labels: Volume, target: Volume, to_labels: np.ndarray) -> np.ndarray:
    """Returns the values of the voxels nearest to those of the target grid, 0 outside."""
    target_to_index = np.linalg.inv(labels.index_to_lps_mm) @ to_labels @ target.index_to_lps_mm
    if labels.array.shape == target.array.shape and np.allclose(target_to_index, np.eye(4), atol=1e-3):
        return labels.array
    from scipy.ndimage import affine_transform

    reverse = [2, 1, 0]  # scipy uses the array's axis order
    matrix, offset = target_to_index[:3, :3][np.ix_(reverse, reverse)], target_to_index[reverse, 3]
    return affine_transform(labels.array, matrix, offset, target.array.shape, order=0, mode="grid-constant")
