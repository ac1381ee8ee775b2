"""One object drawn on a frame (segmentation, model, markups, volume), and copies of it moved by a map."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.carried_images import PlacedArray, moving_labels, moving_volume
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS, from_vtk_matrix, to_vtk_matrix
from UltrasoundMotionLib.mrml.object_motion import FrameMap, ObjectMotion
from UltrasoundMotionLib.mrml.scene_nodes import nodes_of_class
from UltrasoundMotionLib.mrml.volume_nodes import linear_between

BINARY_LABELMAP, CLOSED_SURFACE = "Binary labelmap", "Closed surface"
"""Slicer's names of the representations of a segment."""

OUTSIDE_DESCRIPTION = "outside the motion's data"
"""Description of a control point that the motion's data do not support."""

_OUTSIDE_ARRAY = "outside motion"
"""Name of the point array of a model that is 1 where the motion's data do not support it."""

_CHUNK = 1500
_MARKUPS = (
    "vtkMRMLMarkupsFiducialNode",
    "vtkMRMLMarkupsLineNode",
    "vtkMRMLMarkupsAngleNode",
    "vtkMRMLMarkupsCurveNode",
    "vtkMRMLMarkupsClosedCurveNode",
)

OBJECT_CLASSES = (
    "vtkMRMLSegmentationNode",
    "vtkMRMLModelNode",
    *_MARKUPS,
    "vtkMRMLLabelMapVolumeNode",
    "vtkMRMLScalarVolumeNode",
    "vtkMRMLVectorVolumeNode",
)
"""Classes of nodes that can be carried along."""

Moving = Generator[None, None, slicer.vtkMRMLNode]
"""Short steps that return a node outside of any scene."""


def check_object(node: slicer.vtkMRMLTransformableNode, motion: ObjectMotion) -> np.ndarray:
    """Checks that a node can be carried along, and returns the matrix (4, 4) from its RAS to the motion's.

    Raises:
        InputError: another kind of node, an empty one, one that plays in a browser already, or that is under a
            transform that moves it already or that is not linear.
    """
    name = node.GetName()
    if node.GetClassName() not in OBJECT_CLASSES:
        kind = node.GetClassName().removeprefix("vtkMRML").removesuffix("Node")
        raise InputError(
            f"{name}: a node of class {kind} cannot be carried along; choose a segmentation, a model, points, a line,"
            " an angle, a curve or a volume"
        )
    playing = {
        browser.GetProxyNode(sequence)
        for browser in nodes_of_class(node.GetScene(), "vtkMRMLSequenceBrowserNode")
        for sequence in _sequences_of(browser)
    }
    if node in playing:
        raise InputError(f"{name}: plays in a sequence browser already; choose an object that is drawn on one frame")
    parent = node.GetParentTransformNode()
    if parent is not motion.nodes.proxy.GetParentTransformNode():
        above = parent
        while above is not None:
            if above in playing:
                raise InputError(f"{name}: is moved already by {above.GetName()}; take it out of that transform first")
            above = above.GetParentTransformNode()
    if _is_empty(node):
        raise InputError(f"{name}: is empty; draw it on a frame first")
    mirror = np.diag([*LPS_TO_RAS, 1.0])
    to_motion = linear_between(parent, motion.nodes.proxy.GetParentTransformNode(), name)
    to_world(node)
    return mirror @ to_motion @ mirror


def to_world(node: slicer.vtkMRMLTransformableNode) -> np.ndarray:
    """Returns the matrix (4, 4) from a node's RAS to the world's.

    Raises:
        InputError: its transform is not linear.
    """
    mirror = np.diag([*LPS_TO_RAS, 1.0])
    return mirror @ linear_between(node.GetParentTransformNode(), None, node.GetName()) @ mirror


def _sequences_of(browser: slicer.vtkMRMLSequenceBrowserNode) -> list[slicer.vtkMRMLSequenceNode]:
    sequences = vtk.vtkCollection()
    browser.GetSynchronizedSequenceNodes(sequences, True)
    return [sequences.GetItemAsObject(number) for number in range(sequences.GetNumberOfItems())]


def _is_empty(node: slicer.vtkMRMLNode) -> bool:
    if node.IsA("vtkMRMLSegmentationNode"):
        return not any(layer.voxels.array.any() for layer in layers_of(node)) and not _source_surfaces(node)
    if node.IsA("vtkMRMLModelNode"):
        return node.GetMesh() is None or node.GetMesh().GetNumberOfPoints() == 0
    if node.IsA("vtkMRMLMarkupsNode"):
        return not any(is_placed(node, control) for control in range(node.GetNumberOfControlPoints()))
    if node.GetImageData() is None or node.GetImageData().GetNumberOfPoints() == 0:
        return True
    return node.IsA("vtkMRMLLabelMapVolumeNode") and not voxels_of_volume(node).array.any()


def is_placed(node: slicer.vtkMRMLMarkupsNode, control: int) -> bool:
    """Returns True for a control point that has a position."""
    return node.GetNthControlPointPositionStatus(control) == slicer.vtkMRMLMarkupsNode.PositionDefined


def surface_points(node: slicer.vtkMRMLNode) -> np.ndarray:
    """Returns points (N, 3) on the surface of an object in its own RAS; the corners of an image volume."""
    if node.IsA("vtkMRMLSegmentationNode"):
        points = [layer.voxels.surface_points for layer in layers_of(node)]
        points += [vtk_to_numpy(surface.GetPoints().GetData()) for surface in _source_surfaces(node)]
        return np.vstack(points) if points else np.zeros((0, 3))
    if node.IsA("vtkMRMLModelNode"):
        return np.array(vtk_to_numpy(node.GetMesh().GetPoints().GetData()), dtype=np.float64)
    if node.IsA("vtkMRMLMarkupsNode"):
        return np.array(
            [
                node.GetNthControlPointPosition(control)
                for control in range(node.GetNumberOfControlPoints())
                if is_placed(node, control)
            ]
        ).reshape(-1, 3)
    voxels = voxels_of_volume(node)
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return voxels.surface_points
    ends = [(0, size - 1) for size in voxels.array.shape[2::-1]]
    return voxels.points(np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, 3))


def in_object_coordinates(frame_map: FrameMap, to_motion: np.ndarray) -> FrameMap:
    """Returns a map in the RAS of an object, given the matrix from there to the motion's."""
    if np.array_equal(to_motion, np.eye(4)):
        return frame_map
    back = np.linalg.inv(to_motion)

    def by(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
        return points @ matrix[:3, :3].T + matrix[:3, 3]

    return FrameMap(
        lambda points: by(back, frame_map.forward(by(to_motion, points))),
        lambda points: by(back, frame_map.back(by(to_motion, points))),
        lambda points: frame_map.outside(by(to_motion, points)),
        frame_map.kind,
    )


def copy_of(node: slicer.vtkMRMLNode) -> slicer.vtkMRMLNode:
    """Returns a deep copy of a node's content outside of any scene, with its name and attributes."""
    loose = getattr(slicer, node.GetClassName())()
    loose.CopyContent(node, True)
    loose.SetName(node.GetName())
    loose.SetDescription(node.GetDescription())
    for attribute in node.GetAttributeNames():
        loose.SetAttribute(attribute, node.GetAttribute(attribute))
    return loose


def moving(node: slicer.vtkMRMLNode, frame_map: FrameMap, layers: Sequence[Layer] = ()) -> Moving:
    """Returns a copy of an object where a map takes it, in short steps; the map is in the object's RAS.

    Args:
        layers: those of a segmentation, see `layers_of`.
    """
    if node.IsA("vtkMRMLSegmentationNode"):
        return _moving_segmentation(node, frame_map, layers)
    if node.IsA("vtkMRMLModelNode"):
        return _moving_model(node, frame_map)
    if node.IsA("vtkMRMLMarkupsNode"):
        return _moving_markups(node, frame_map)
    return _moving_volume_node(node, frame_map)


def _moving_markups(node: slicer.vtkMRMLMarkupsNode, frame_map: FrameMap) -> Moving:
    loose = copy_of(node)
    controls = [control for control in range(node.GetNumberOfControlPoints()) if is_placed(node, control)]
    before = surface_points(node)
    after, outside = frame_map.forward(before), frame_map.outside(before)
    yield
    was_modifying = loose.StartModify()
    for control, position, beyond in zip(controls, after.tolist(), outside, strict=True):
        loose.SetNthControlPointPosition(control, *position)
        if beyond:
            loose.SetNthControlPointDescription(control, OUTSIDE_DESCRIPTION)
    loose.EndModify(was_modifying)
    return loose


def _moving_model(node: slicer.vtkMRMLModelNode, frame_map: FrameMap) -> Moving:
    loose = copy_of(node)
    mesh = yield from _moving_mesh(node.GetMesh(), frame_map, flagged=True)
    loose.SetAndObserveMesh(mesh)
    return loose


def _moving_mesh(
    mesh: vtk.vtkPointSet, frame_map: FrameMap, *, flagged: bool
) -> Generator[None, None, vtk.vtkPointSet]:
    """Returns a copy of a mesh with its points moved, and with new normals where it has some."""
    copy = mesh.NewInstance()
    copy.DeepCopy(mesh)
    before = np.array(vtk_to_numpy(mesh.GetPoints().GetData()), dtype=np.float64)
    after, outside = np.empty_like(before), np.zeros(len(before), dtype=np.uint8)
    yield
    for start in range(0, len(before), _CHUNK):
        part = slice(start, start + _CHUNK)
        after[part], outside[part] = frame_map.forward(before[part]), frame_map.outside(before[part])
        yield
    points = vtk.vtkPoints()
    points.SetData(numpy_to_vtk(after.astype(vtk_to_numpy(mesh.GetPoints().GetData()).dtype), deep=True))
    copy.SetPoints(points)
    if flagged and outside.any():
        flags = numpy_to_vtk(outside, deep=True)
        flags.SetName(_OUTSIDE_ARRAY)
        copy.GetPointData().AddArray(flags)
    if copy.IsA("vtkPolyData") and copy.GetPointData().GetNormals() is not None:
        normals = vtk.vtkPolyDataNormals()
        normals.SplittingOff()
        normals.ConsistencyOff()
        normals.SetInputData(copy)
        normals.Update()
        copy = normals.GetOutput()
    return copy


# Volumes


def voxels_of_volume(node: slicer.vtkMRMLVolumeNode) -> PlacedArray:
    """Returns the voxels of a volume node, which share its memory."""
    image, matrix = node.GetImageData(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    width, height, depth = image.GetDimensions()
    components = image.GetNumberOfScalarComponents()
    shape = (depth, height, width) if components == 1 else (depth, height, width, components)
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    return PlacedArray(array, np.zeros(3, dtype=int), from_vtk_matrix(matrix))


def _moving_volume_node(node: slicer.vtkMRMLVolumeNode, frame_map: FrameMap) -> Moving:
    voxels = voxels_of_volume(node)
    moved = yield from moving_volume(voxels, frame_map.back, linear=not node.IsA("vtkMRMLLabelMapVolumeNode"))
    loose = getattr(slicer, node.GetClassName())()
    loose.SetName(node.GetName())
    loose.SetIJKToRASMatrix(to_vtk_matrix(voxels.to_ras))
    image = vtk.vtkImageData()
    image.SetDimensions(node.GetImageData().GetDimensions())
    components = node.GetImageData().GetNumberOfScalarComponents()
    flat = moved.array.reshape(-1, components) if components > 1 else moved.array.ravel()
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    loose.SetAndObserveImageData(image)
    return loose


# Segmentations


@dataclass(frozen=True, eq=False)
class Layer:
    """One label map of a segmentation, which several segments may share.

    Attributes:
        segment_ids: of the segments in it.
        voxels: its labels.
    """

    segment_ids: tuple[str, ...]
    voxels: PlacedArray


def layers_of(node: slicer.vtkMRMLSegmentationNode) -> list[Layer]:
    """Returns the label maps of a segmentation that is stored as such; none of one that is stored as surfaces."""
    segmentation = node.GetSegmentation()
    if not segmentation.ContainsRepresentation(BINARY_LABELMAP):
        return []
    layers = []
    for number in range(segmentation.GetNumberOfLayers(BINARY_LABELMAP)):
        image = segmentation.GetLayerDataObject(number, BINARY_LABELMAP)
        ids = tuple(segmentation.GetSegmentIDsForLayer(number, BINARY_LABELMAP))
        if image is not None and image.GetPointData().GetScalars() is not None and ids:
            layers.append(Layer(ids, _voxels_of(image)))
    return layers


def _voxels_of(image: slicer.vtkOrientedImageData) -> PlacedArray:
    matrix, extent = vtk.vtkMatrix4x4(), image.GetExtent()
    image.GetImageToWorldMatrix(matrix)
    shape = tuple(extent[2 * axis + 1] - extent[2 * axis] + 1 for axis in (2, 1, 0))
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(shape)
    return PlacedArray(array, np.array(extent[::2]), from_vtk_matrix(matrix))


def _image_of(voxels: PlacedArray) -> slicer.vtkOrientedImageData:
    image = slicer.vtkOrientedImageData()
    size = np.array(voxels.array.shape[::-1])
    ends = np.column_stack([voxels.first, voxels.first + size - 1]).ravel()
    image.SetExtent(*(int(end) for end in ends))
    image.SetImageToWorldMatrix(to_vtk_matrix(voxels.to_ras))
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(voxels.array).ravel(), deep=True))
    return image


def _source_surfaces(node: slicer.vtkMRMLSegmentationNode) -> list[vtk.vtkPolyData]:
    """Returns the surfaces of a segmentation that has no label map."""
    segmentation = node.GetSegmentation()
    if segmentation.ContainsRepresentation(BINARY_LABELMAP):
        return []
    surfaces = [
        segmentation.GetNthSegment(number).GetRepresentation(CLOSED_SURFACE)
        for number in range(segmentation.GetNumberOfSegments())
    ]
    return [surface for surface in surfaces if surface is not None and surface.GetNumberOfPoints() > 0]


def _moving_segmentation(node: slicer.vtkMRMLSegmentationNode, frame_map: FrameMap, layers: Sequence[Layer]) -> Moving:
    """Moves the label maps by looking up voxels, and the surfaces, where there are some, by their points."""
    loose = copy_of(node)
    segmentation = loose.GetSegmentation()
    names: list[str] = []
    segmentation.GetContainedRepresentationNames(names)
    for name in names:
        if name not in (BINARY_LABELMAP, CLOSED_SURFACE):
            segmentation.RemoveRepresentation(name)
    yield
    for layer in layers:
        moved = yield from moving_labels(layer.voxels, frame_map.forward, frame_map.back)
        image = _image_of(moved)
        for segment_id in layer.segment_ids:
            segmentation.GetSegment(segment_id).AddRepresentation(BINARY_LABELMAP, image)
    for number in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(number)
        surface = segment.GetRepresentation(CLOSED_SURFACE)
        if surface is not None and surface.GetNumberOfPoints() > 0:
            moved_surface = yield from _moving_mesh(surface, frame_map, flagged=False)
            segment.AddRepresentation(CLOSED_SURFACE, moved_surface)
    return loose
