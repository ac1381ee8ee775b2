"""Volumes, label maps and segmentations as Slicer's nodes, and volume nodes as arrays with geometry."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.colour import luminance
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.image_geometry import (
    LPS_TO_RAS,
    SLICE_THICKNESS_MM,
    from_vtk_matrix,
    geometry_of,
    ijk_to_ras,
    to_vtk_matrix,
)

GREY_PERCENTILES = (0.5, 99.5)
_LABEL_COLORS = "vtkMRMLColorTableNodeLabels"
_SEGMENT_COLORS = (
    (0.20, 0.75, 0.95),
    (0.98, 0.72, 0.20),
    (0.45, 0.85, 0.35),
    (0.95, 0.40, 0.60),
    (0.65, 0.50, 0.95),
    (0.95, 0.90, 0.35),
)
"""Colours of labels 1, 2 ..., repeated: a label has the same colour in every segmentation."""


def as_3d_volume(volume: Volume) -> Volume:
    """Returns a 2D image as a volume of one slice in the plane z = 0, as Slicer reads it; a 3D volume unchanged."""
    if volume.array.ndim == 3:
        return volume
    direction = np.eye(3)
    direction[:2, :2] = volume.direction
    return Volume(
        volume.array[None], (*volume.spacing_mm, SLICE_THICKNESS_MM), (*volume.origin_mm, 0.0), direction, volume.name
    )


def add_volume(
    scene: slicer.vtkMRMLScene, volume: Volume, name: str, *, levels: tuple[float, float] | None = None
) -> slicer.vtkMRMLScalarVolumeNode:
    """Adds an image as a scalar volume in grey.

    Args:
        levels: values shown as black and white; percentiles of the image when None.
    """
    return fill_volume(
        scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name)), volume, levels=levels
    )


def fill_volume(
    node: slicer.vtkMRMLScalarVolumeNode, volume: Volume, *, levels: tuple[float, float] | None = None
) -> slicer.vtkMRMLScalarVolumeNode:
    """Replaces image and geometry of a node; arguments as in `add_volume`."""
    _set_image(node, volume)
    node.CreateDefaultDisplayNodes()
    low, high = levels or grey_levels(volume)
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID("vtkMRMLColorTableNodeGrey")
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(low, high)
    return node


def grey_levels(volume: Volume) -> tuple[float, float]:
    """Returns the 0.5th and 99.5th percentile, never equal."""
    low, high = (float(value) for value in np.percentile(volume.array, GREY_PERCENTILES))
    return low, high if high > low else low + 1.0


def comparable_levels(levels: tuple[float, float], volume: Volume) -> tuple[float, float]:
    """Returns another image's grey levels where both ranges are similar, so that flicker shows only motion.

    Otherwise returns the volume's own.
    """
    own = grey_levels(volume)
    middle, width = sum(levels) / 2, levels[1] - levels[0]
    similar = abs(sum(own) / 2 - middle) < width / 2 and 0.5 < (own[1] - own[0]) / width < 2
    return levels if similar else own


def add_label_map(scene: slicer.vtkMRMLScene, labels: Volume, name: str) -> slicer.vtkMRMLLabelMapVolumeNode:
    """Adds a label map (whole numbers) in Slicer's colours for labels."""
    node = _set_image(
        scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", scene.GenerateUniqueName(name)), labels, dtype=np.int16
    )
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAndObserveColorNodeID(_LABEL_COLORS)
    return node


def add_segmentation(
    scene: slicer.vtkMRMLScene, labels: Volume, name: str, image: slicer.vtkMRMLVolumeNode, *, filled: bool = True
) -> slicer.vtkMRMLSegmentationNode:
    """Adds a label map as a segmentation in the geometry of an image, one segment per label, named by its number.

    Args:
        filled: False shows outlines only in slice views.
    """
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    return fill_segmentation(node, labels, image, filled=filled)


def fill_segmentation(
    node: slicer.vtkMRMLSegmentationNode,
    labels: Volume,
    image: slicer.vtkMRMLVolumeNode,
    *,
    names: Mapping[int, str] | None = None,
    colors: Mapping[int, tuple[float, float, float]] | None = None,
    filled: bool = True,
) -> slicer.vtkMRMLSegmentationNode:
    """Replaces the segments of a node by the labels of a map, in the geometry of an image.

    The map lies in the coordinates of the segmentation node, which may stand under a transform.

    Args:
        names, colors: name and colour of labels; "label 3" and a standard colour where not given.
        filled: False shows outlines only in slice views.
    """
    scene = node.GetScene()
    node.CreateDefaultDisplayNodes()
    node.GetSegmentation().RemoveAllSegments()
    source = add_label_map(scene, labels, f"{node.GetName()} import")
    source.SetAndObserveTransformNodeID(node.GetTransformNodeID())
    node.SetReferenceImageGeometryParameterFromVolumeNode(image)
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(source, node)
    segmentation = node.GetSegmentation()
    for segment in [segmentation.GetNthSegment(number) for number in range(segmentation.GetNumberOfSegments())]:
        value = segment.GetLabelValue()
        segment.SetName((names or {}).get(value, f"label {value}"))
        segment.SetColor(*(colors or {}).get(value, _SEGMENT_COLORS[(value - 1) % len(_SEGMENT_COLORS)]))
    node.GetDisplayNode().SetVisibility2DFill(filled)
    display = source.GetDisplayNode()
    scene.RemoveNode(source)
    if display is not None:
        scene.RemoveNode(display)
    return node


def _set_image(node: slicer.vtkMRMLVolumeNode, volume: Volume, dtype: type | None = None) -> slicer.vtkMRMLVolumeNode:
    placed = as_3d_volume(volume)
    array = placed.array.astype(np.uint8) if placed.array.dtype == bool else placed.array
    array = np.ascontiguousarray(array if dtype is None else array.astype(dtype))
    image = vtk.vtkImageData()
    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(array.ravel(), deep=True))
    node.SetIJKToRASMatrix(
        to_vtk_matrix(ijk_to_ras(np.asarray(placed.spacing_mm), np.asarray(placed.origin_mm), placed.direction))
    )
    node.SetAndObserveImageData(image)
    return node


def volume_from_node(node: slicer.vtkMRMLVolumeNode) -> Volume:
    """Returns the image (K, J, I) of a volume node in the node's own coordinates, without its parent transform.

    Colour becomes luminance. The array of a grey volume shares the node's memory: copy it before the node changes.

    Raises:
        InputError: the node holds no image, or its axes are not orthogonal.
    """
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None:
        raise InputError(f"{node.GetName()}: the volume holds no image")
    width, height, depth = image.GetDimensions()
    components = image.GetNumberOfScalarComponents()
    stored = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(depth, height, width, components)
    array = (
        stored[..., 0]
        if components == 1
        else luminance(stored.reshape(depth * height, width, components)).reshape(depth, height, width)
    )
    spacing, origin, direction = geometry_of(node)
    return Volume(array, tuple(spacing), tuple(origin), direction, node.GetName())


def linear_between(
    source: slicer.vtkMRMLTransformNode | None, target: slicer.vtkMRMLTransformNode | None, name: str
) -> np.ndarray:
    """Returns the matrix (4, 4) in LPS mm from coordinates under one transform node to those under another.

    Args:
        source, target: transform nodes; None is the world.
        name: the node named in the error.

    Raises:
        InputError: the transform between them is not linear.
    """
    between, linear = vtk.vtkGeneralTransform(), vtk.vtkTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(source, target, between)
    if not slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(between, linear):
        raise InputError(
            f"{name}: is under a transform that bends it; harden the transform first, or take the volume out of it"
        )
    mirror = np.diag([*LPS_TO_RAS, 1.0])
    return mirror @ from_vtk_matrix(linear.GetMatrix()) @ mirror
