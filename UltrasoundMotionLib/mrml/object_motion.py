"""A motion that plays in a browser, a sequence of transforms or of tracked points, as maps from frame to frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.mrml.displacement_transforms import INVERSE_TOLERANCE_MM
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS, from_vtk_matrix, geometry_of
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, find_sequence_nodes
from UltrasoundMotionLib.propagation.inversion import invert_points
from UltrasoundMotionLib.propagation.point_map import PointMap, fit_point_map

Map = Callable[[np.ndarray], np.ndarray]
"""Takes RAS mm points (N, 3) to points (N, 3)."""


class TransformsTake(Enum):
    """The points that a sequence of transforms moves, and where to: the meaning of each item's transform to parent."""

    REFERENCE_TO_FRAMES = "reference to frames"
    """Points of the reference frame to each frame, as Deformable Registration makes them."""

    FRAMES_TO_REFERENCE = "frames to reference"
    """Each frame's points to the reference frame, as transforms do that hold a moving image still."""


@dataclass(frozen=True, eq=False)
class FrameMap:
    """The map from one frame to another, in the motion's own RAS coordinates.

    Attributes:
        forward: takes points (N, 3) of the first frame to the second.
        back: takes points of the second frame to the first; see `back_error_mm`.
        outside: returns True (N,) for points of the first frame that no data of the motion supports.
        kind: the map in words.
    """

    forward: Map
    back: Map
    outside: Callable[[np.ndarray], np.ndarray]
    kind: str

    def back_error_mm(self, points: np.ndarray) -> float:
        """Returns the largest distance of a point of the second frame from where going back and forward takes it."""
        if len(points) == 0:
            return 0.0
        return float(np.linalg.norm(self.forward(self.back(points)) - points, axis=1).max())


@dataclass(frozen=True, eq=False)
class ObjectMotion:
    """A motion in the scene; made by `find_motion`.

    Attributes:
        nodes: its sequence, proxy and browser.
        take: the meaning of a sequence of transforms.
        normal: (3,) RAS unit normal of the plane of motion; None where it moves in space.
    """

    nodes: SequenceNodes
    take: TransformsTake
    normal: np.ndarray | None

    def __len__(self) -> int:
        return self.nodes.sequence.GetNumberOfDataNodes()

    @property
    def is_of_points(self) -> bool:
        """True for tracked points, False for transforms."""
        return self.nodes.proxy.IsA("vtkMRMLMarkupsNode")

    def check(self, frame: int) -> None:
        """Checks the frame on which an object is drawn, and every frame of the motion.

        Raises:
            InputError: one frame, no such frame, an item of another kind, a point list without a point that is placed
                there and on another frame, or a frame of the browser for which the motion has no item.
        """
        name, count = self.nodes.sequence.GetName(), len(self)
        if count < 2:
            raise InputError(f"{name}: has one frame; there is no motion to follow")
        if not 0 <= frame < count:
            raise InputError(f"{name}: has no frame {frame}; the last is {count - 1}")
        for number in range(count):
            item = self.nodes.sequence.GetNthDataNode(number)
            wanted = "vtkMRMLMarkupsNode" if self.is_of_points else "vtkMRMLTransformNode"
            if item is None or not item.IsA(wanted):
                found = item.GetClassName() if item is not None else "missing"
                raise InputError(f"{name}: item {number} is {found}, expected {wanted}")
        master = self.nodes.browser.GetMasterSequenceNode()
        if master is not None and master is not self.nodes.sequence:
            values = [master.GetNthIndexValue(number) for number in range(master.GetNumberOfDataNodes())]
            missing = [
                frame_number
                for frame_number, value in enumerate(values)
                if self.nodes.sequence.GetItemNumberFromIndexValue(value, True) < 0
            ]
            if missing:
                raise InputError(
                    f"{name}: holds no motion for frame {missing[0]} of {master.GetName()}"
                    f" ({len(missing)} of {len(values)} frames are missing)"
                )
        if self.is_of_points:
            drawn = _ItemPoints.of(self.nodes.sequence.GetNthDataNode(frame))
            for number in range(count):
                self._matched(drawn, _ItemPoints.of(self.nodes.sequence.GetNthDataNode(number)), frame, number)

    def between(self, source: int, target: int) -> FrameMap:
        """Returns the map from one frame to another.

        Raises:
            InputError: no tracked point is placed on both frames, or points cannot be matched.
        """
        if self.is_of_points:
            return self._between_points(source, target)
        first, second = (ItemTransform(self.nodes.sequence.GetNthDataNode(frame)) for frame in (source, target))
        kind = "transform"
        if self.take is TransformsTake.REFERENCE_TO_FRAMES:
            return FrameMap(
                lambda points: second.forward(first.back(points)),
                lambda points: first.forward(second.back(points)),
                lambda points: first.outside(first.back(points)) | second.outside(first.back(points)),
                kind,
            )
        return FrameMap(
            lambda points: second.back(first.forward(points)),
            lambda points: first.back(second.forward(points)),
            lambda points: first.outside(points) | second.outside(second.back(first.forward(points))),
            kind,
        )

    def _between_points(self, source: int, target: int) -> FrameMap:
        before, after = self._common_points(source, target)
        forward, start = fit_point_map(before, after, self.normal), fit_point_map(after, before, self.normal)

        def back(points: np.ndarray) -> np.ndarray:
            return invert_points(forward, points, start(points), tolerance_mm=INVERSE_TOLERANCE_MM).points_mm

        return FrameMap(forward, back, lambda points: _outside_hull(forward, points), forward.kind)

    def _common_points(self, source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns the points (N, 3) that are placed on both frames, on each.

        Points are matched by their labels, or by their order where labels are missing or repeated.
        """
        before, after = (_ItemPoints.of(self.nodes.sequence.GetNthDataNode(frame)) for frame in (source, target))
        matched = self._matched(before, after, source, target)
        first, second = (points.positions(rows) for points, rows in matched)
        return first, second

    def _matched(
        self, before: _ItemPoints, after: _ItemPoints, source: int, target: int
    ) -> tuple[tuple[_ItemPoints, list[int]], tuple[_ItemPoints, list[int]]]:
        """Returns the control points that are placed on both frames, in the same order; raises as `between`."""
        name = self.nodes.sequence.GetName()
        if before.by_label is not None and after.by_label is not None:
            shared = [(row, after.by_label[label]) for label, row in before.by_label.items() if label in after.by_label]
        elif len(before.placed) == len(after.placed):
            shared = [(row, row) for row in range(len(before.placed))]
        else:
            raise InputError(
                f"{name}: frames {source} and {target} have different numbers of points"
                " without labels of their own; give each point a label"
            )
        both = [(first, second) for first, second in shared if before.placed[first] and after.placed[second]]
        if not both:
            raise InputError(f"{name}: no point is placed on both frame {source} and frame {target}")
        return (before, [first for first, _second in both]), (after, [second for _first, second in both])


def find_motion(node: slicer.vtkMRMLNode, take: TransformsTake = TransformsTake.REFERENCE_TO_FRAMES) -> ObjectMotion:
    """Returns the motion that a sequence of transforms or of tracked points holds.

    Args:
        node: the sequence, or its proxy: a transform node, or a point list or curve.
        take: for transforms, the points that they move.

    Raises:
        InputError: no browser plays the node, or it is neither of them.
    """
    nodes = find_sequence_nodes(node)
    if not nodes.proxy.IsA("vtkMRMLTransformNode") and not nodes.proxy.IsA("vtkMRMLMarkupsNode"):
        raise InputError(
            f"{nodes.proxy.GetName()}: is no motion; choose a sequence of transforms, or points that were tracked"
        )
    return ObjectMotion(nodes, take, _plane_normal(nodes))


def _plane_normal(nodes: SequenceNodes) -> np.ndarray | None:
    """Returns the RAS normal of a one-slice image that the browser plays under the same transform as the motion."""
    image = image_of_browser(nodes)
    if image is None or image.GetImageData().GetDimensions()[2] != 1:
        return None
    if image.GetTransformNodeID() != nodes.proxy.GetTransformNodeID():
        return None
    return geometry_of(image)[2][:, 2] * LPS_TO_RAS


def image_of_browser(nodes: SequenceNodes) -> slicer.vtkMRMLVolumeNode | None:
    """Returns the first image volume, label maps apart, that the browser of a motion plays; None without one."""
    sequences = vtk.vtkCollection()
    nodes.browser.GetSynchronizedSequenceNodes(sequences, True)
    for number in range(sequences.GetNumberOfItems()):
        proxy = nodes.browser.GetProxyNode(sequences.GetItemAsObject(number))
        if (
            proxy is not None
            and proxy.IsA("vtkMRMLScalarVolumeNode")
            and not proxy.IsA("vtkMRMLLabelMapVolumeNode")
            and proxy.GetImageData() is not None
        ):
            return proxy
    return None


@dataclass(frozen=True, eq=False)
class _ItemPoints:
    """The control points of one frame.

    Attributes:
        item: their node.
        by_label: number of each by its label; None where labels are missing or repeated.
        placed: True for those that have a position.
    """

    item: slicer.vtkMRMLMarkupsNode
    by_label: dict[str, int] | None
    placed: list[bool]

    @classmethod
    def of(cls, item: slicer.vtkMRMLMarkupsNode) -> _ItemPoints:
        count, defined = item.GetNumberOfControlPoints(), slicer.vtkMRMLMarkupsNode.PositionDefined
        by_label = {item.GetNthControlPointLabel(control): control for control in range(count)}
        return cls(
            item,
            by_label if len(by_label) == count and "" not in by_label else None,
            [item.GetNthControlPointPositionStatus(control) == defined for control in range(count)],
        )

    def positions(self, rows: list[int]) -> np.ndarray:
        """Returns RAS mm (N, 3) of some of the points."""
        return np.array([self.item.GetNthControlPointPosition(row) for row in rows])


def _outside_hull(point_map: PointMap, points: np.ndarray) -> np.ndarray:
    return ~point_map.inside(points)


class ItemTransform:
    """The transform to parent of one transform node, with an exact inverse and the extent of its grid.

    Attributes:
        grids: RAS-to-index matrix (4, 4) and size (3,) of its displacement or B-spline grid; empty for others.
        is_displacement_grid: True where it is sampled on a grid of displacements.
        is_linear: True for a matrix.
    """

    def __init__(self, item: slicer.vtkMRMLTransformNode) -> None:
        given = item.GetTransformToParent()
        if given is None:  # the identity of a transform node that was never set
            given = vtk.vtkTransform()
        given.Update()  # an inverse has its own values only after that
        self._forward = given.MakeTransform()
        self._forward.DeepCopy(given)  # a copy: its tolerance is finer than that of the node in the scene
        if hasattr(self._forward, "SetInverseTolerance"):
            self._forward.SetInverseTolerance(INVERSE_TOLERANCE_MM)
        self._back = self._forward.GetInverse()
        self.grids = _grids_of(self._forward)
        self.is_displacement_grid = bool(self.grids) and self._forward.IsA("vtkOrientedGridTransform")
        self.is_linear = bool(slicer.vtkMRMLTransformNode.IsGeneralTransformLinear(self._forward, vtk.vtkTransform()))

    def forward(self, points: np.ndarray) -> np.ndarray:
        """Moves RAS points (N, 3)."""
        return transform_ras_points(self._forward, points)

    def back(self, points: np.ndarray) -> np.ndarray:
        """Moves RAS points (N, 3) by the inverse."""
        return transform_ras_points(self._back, points)

    def outside(self, points: np.ndarray) -> np.ndarray:
        """Returns True (N,) for points that lie outside of the grid."""
        outside = np.zeros(len(points), dtype=bool)
        for to_index, size in self.grids:
            index = points @ to_index[:3, :3].T + to_index[:3, 3]
            spanned = size > 1  # a slice has no extent across its plane
            beyond = (index < -0.5) | (index > size - 0.5)
            outside |= beyond[:, spanned].any(axis=1)
        return outside


def _grids_of(transform: vtk.vtkAbstractTransform) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns the RAS-to-index matrix and the size of the displacement or B-spline grid of a transform.

    An inverted transform has its grid on the other side, and a composite one has several: they count as unbounded.
    """
    if not transform.IsA("vtkWarpTransform") or transform.GetInverseFlag():
        return []
    if transform.IsA("vtkOrientedGridTransform"):
        image = transform.GetDisplacementGrid()
    elif transform.IsA("vtkOrientedBSplineTransform"):
        image = transform.GetCoefficientData()
    else:
        return []
    if image is None:
        return []
    direction = transform.GetGridDirectionMatrix()
    to_ras = np.eye(4)
    axes = from_vtk_matrix(direction)[:3, :3] if direction is not None else np.eye(3)
    to_ras[:3, :3], to_ras[:3, 3] = axes * np.array(image.GetSpacing()), image.GetOrigin()
    return [(np.linalg.inv(to_ras), np.array(image.GetDimensions()))]


def transform_ras_points(transform: vtk.vtkAbstractTransform, points: np.ndarray) -> np.ndarray:
    """Returns RAS points (N, 3) moved by a VTK transform."""
    if len(points) == 0:
        return np.zeros((0, 3))
    before, after = vtk.vtkPoints(), vtk.vtkPoints()
    before.SetDataTypeToDouble()
    after.SetDataTypeToDouble()
    before.SetData(numpy_to_vtk(np.ascontiguousarray(points, dtype=np.float64), deep=False))
    transform.TransformPoints(before, after)
    return np.array(vtk_to_numpy(after.GetData()))
