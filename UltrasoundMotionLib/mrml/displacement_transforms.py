"""Displacement fields as Slicer's transform nodes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import slicer
import vtk
from vtkmodules.util.numpy_support import numpy_to_vtk

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.mrml.image_geometry import LPS_TO_RAS, SLICE_THICKNESS_MM, to_vtk_matrix
from UltrasoundMotionLib.mrml.node_removal import undone_unless_finished
from UltrasoundMotionLib.mrml.sequence_nodes import SequenceNodes, add_with_proxy, join_browser
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.steps import Steps, run_steps

INVERSE_TOLERANCE_MM = 1e-4
"""Tolerance where Slicer inverts the grid. Its default is 0.01 mm, which a transform has again after loading."""


class Carries(Enum):
    """Direction in which a transform node moves the nodes under it, for u with fixed(x) = moving(x + u(x))."""

    MOVING_TO_FIXED = "moving image onto the fixed one"
    FIXED_TO_MOVING = "points of the fixed image to their positions in the moving one"


@dataclass(frozen=True)
class DisplacementGrid:
    """A displacement field with fixed(x) = moving(x + u(x)), ITK's convention.

    Attributes:
        displacement_mm: (K, J, I, 3) LPS mm vectors; K is 1 for a 2D field.
        spacing_mm: distances of the grid's nodes along (x, y, z).
        origin_mm: LPS position of the first node of the grid.
        direction: (3, 3), columns are the LPS unit vectors of the axes x, y, z.

    Raises:
        InputError: wrong shapes, values that are not finite, spacing that is not positive, axes not orthonormal.
    """

    displacement_mm: np.ndarray
    spacing_mm: tuple[float, ...]
    origin_mm: tuple[float, ...]
    direction: np.ndarray

    def __post_init__(self) -> None:
        field = np.asarray(self.displacement_mm)
        if field.ndim != 4 or field.shape[3] != 3 or min(field.shape) < 1:
            raise InputError(f"a displacement grid is (K, J, I, 3), got {field.shape}")
        if not np.all(np.isfinite(field)):
            raise InputError("the displacement field holds values that are not finite")
        spacing, origin, direction = (
            np.asarray(value, dtype=np.float64) for value in (self.spacing_mm, self.origin_mm, self.direction)
        )
        if spacing.shape != (3,) or not np.all(np.isfinite(spacing) & (spacing > 0)):
            raise InputError(
                f"the spacing of a displacement grid is three positive numbers in mm, got {self.spacing_mm}"
            )
        if origin.shape != (3,) or not np.all(np.isfinite(origin)):
            raise InputError(f"the origin of a displacement grid is three finite numbers in mm, got {self.origin_mm}")
        if direction.shape != (3, 3) or not np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
            raise InputError(
                "the direction of a displacement grid is a 3x3 matrix with orthonormal columns,"
                f" got {direction.tolist()}"
            )

    @classmethod
    def of_slice(cls, sequence: ImageSequence, displacement_px: np.ndarray, step_px: float = 1.0) -> DisplacementGrid:
        """Makes the grid of a field (J, I, 2) of (x, y) pixel displacements in the plane of a clip.

        Fields are best stored coarser than the pixels: a 512 x 512 grid costs 3 MB per frame.

        Args:
            step_px: distance of samples in pixels, from the first pixel on.
        """
        field = np.asarray(displacement_px, dtype=np.float64)
        if field.ndim != 3 or field.shape[2] != 2:
            raise InputError(f"a field in the plane is (J, I, 2), got {field.shape}")
        pixel = np.asarray(sequence.spacing_mm or (1.0, 1.0))
        vectors = (field * pixel) @ sequence.direction[:, :2].T
        spacing = (float(pixel[0] * step_px), float(pixel[1] * step_px), SLICE_THICKNESS_MM)
        return cls(vectors[None], spacing, sequence.origin_mm, sequence.direction)


def add_displacement_transform(
    scene: slicer.vtkMRMLScene, grid: DisplacementGrid, name: str, *, carries: Carries = Carries.MOVING_TO_FIXED
) -> slicer.vtkMRMLTransformNode:
    """Adds a field as a transform node, under which the moving image (or fixed points, see `carries`) is put."""
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode", scene.GenerateUniqueName(name))
    fill_displacement_transform(node, grid, carries=carries)
    return node


def fill_displacement_transform(
    node: slicer.vtkMRMLTransformNode, grid: DisplacementGrid, *, carries: Carries = Carries.MOVING_TO_FIXED
) -> None:
    """Gives a transform node the field, as `add_displacement_transform`; what it held before is gone."""
    observe_grid_transform(node, oriented_grid_transform(grid), carries)


def add_displacement_sequence(
    image: SequenceNodes,
    field_of: Callable[[int], DisplacementGrid | None],
    name: str,
    *,
    carries: Carries = Carries.FIXED_TO_MOVING,
    progress: Progress = no_progress,
) -> SequenceNodes:
    """`adding_displacement_sequence` at once."""
    return run_steps(adding_displacement_sequence(image, field_of, name, carries=carries), progress)


def adding_displacement_sequence(
    image: SequenceNodes,
    field_of: Callable[[int], DisplacementGrid | None],
    name: str,
    *,
    carries: Carries = Carries.FIXED_TO_MOVING,
) -> Steps[SequenceNodes]:
    """Adds a transform that changes with the frame, in the image's browser and under its transform.

    Args:
        field_of: returns the field of a frame, or None where nothing moves (the reference frame). Called once per
            frame, in order. All fields must have the same grid size, or Slicer cannot save the sequence.

    Raises:
        InputError: every frame is None, or the grids differ in size.
    """
    index = image.index

    def add() -> Steps[SequenceNodes]:
        """Fills a sequence with a field for each frame and adds it once it is complete."""
        node = slicer.vtkMRMLSequenceNode()
        index.apply(node)
        yield from _filling(node, index.values, field_of, name, carries=carries)
        image.check_unchanged(index)
        proxy = add_with_proxy(image, node, "vtkMRMLTransformNode", name)
        return join_browser(image.browser, node, proxy, editable=False)

    return undone_unless_finished(image.scene, add())


def oriented_grid_transform(grid: DisplacementGrid) -> slicer.vtkOrientedGridTransform:
    """Converts a field to RAS vectors on a RAS grid.

    It is no plain vtkGridTransform, whose orientation Slicer cannot save.
    """
    depth, height, width = grid.displacement_mm.shape[:3]
    vectors = np.ascontiguousarray(np.asarray(grid.displacement_mm, dtype=np.float64) * LPS_TO_RAS)
    image = vtk.vtkImageData()
    image.SetDimensions(width, height, depth)
    image.SetSpacing(grid.spacing_mm)
    image.SetOrigin(*(np.asarray(grid.origin_mm, dtype=np.float64) * LPS_TO_RAS))
    image.GetPointData().SetScalars(numpy_to_vtk(vectors.reshape(-1, 3), deep=True))
    direction = np.eye(4)
    direction[:3, :3] = LPS_TO_RAS[:, None] * np.asarray(grid.direction, dtype=np.float64)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetDisplacementGridData(image)
    transform.SetGridDirectionMatrix(to_vtk_matrix(direction))
    transform.SetInterpolationModeToCubic()  # as every grid that Slicer reads: unchanged on reload
    transform.SetInverseTolerance(INVERSE_TOLERANCE_MM)
    return transform


def transform_points(node: slicer.vtkMRMLTransformNode, points_lps_mm: np.ndarray) -> np.ndarray:
    """Returns LPS mm points (..., 3) transformed by a transform node and its parents."""
    to_world = vtk.vtkGeneralTransform()
    node.GetTransformToWorld(to_world)
    points = np.asarray(points_lps_mm, dtype=np.float64)
    moved = [to_world.TransformPoint(*point) for point in points.reshape(-1, 3) * LPS_TO_RAS]
    return np.reshape(moved, points.shape) * LPS_TO_RAS


def observe_grid_transform(
    node: slicer.vtkMRMLTransformNode,
    transform: slicer.vtkOrientedGridTransform,
    carries: Carries = Carries.MOVING_TO_FIXED,
) -> None:
    """Gives a transform node in a scene the transform of `oriented_grid_transform`."""
    node.CreateDefaultDisplayNodes()
    _observe(node, transform, carries)


def _observe(node: slicer.vtkMRMLTransformNode, transform: slicer.vtkOrientedGridTransform, carries: Carries) -> None:
    if carries is Carries.MOVING_TO_FIXED:
        node.SetAndObserveTransformFromParent(transform)
    else:
        node.SetAndObserveTransformToParent(transform)


def _filling(
    node: slicer.vtkMRMLSequenceNode,
    values: tuple[str, ...],
    field_of: Callable[[int], DisplacementGrid | None],
    name: str,
    *,
    carries: Carries,
) -> Steps[None]:
    waiting: list[str] = []  # frames before the first field, which get its grid
    first: DisplacementGrid | None = None
    for frame, value in enumerate(values):
        yield frame, len(values), "putting the displacement fields into the scene"
        grid = field_of(frame)
        first = first or grid
        if first is None:
            waiting.append(value)
            continue
        if grid is not None and grid.displacement_mm.shape != first.displacement_mm.shape:
            raise InputError(
                f"{name}: the field of frame {frame} is {grid.displacement_mm.shape},"
                f" the first is {first.displacement_mm.shape}"
            )
        for pending in waiting:
            _set_item(node, _zero_grid(first), pending, name, carries)
        waiting.clear()
        _set_item(node, grid or _zero_grid(first), value, name, carries)
    if first is None:
        raise InputError(f"{name}: no frame has a displacement field")
    yield len(values), len(values), "putting the displacement fields into the scene"


def _zero_grid(like: DisplacementGrid) -> DisplacementGrid:
    """Returns a zero field on the same grid.

    A transform sequence is saved as grids of one size; Slicer may refuse an identity transform among them.
    """
    return DisplacementGrid(np.zeros_like(like.displacement_mm), like.spacing_mm, like.origin_mm, like.direction)


def displacement_item(grid: DisplacementGrid, name: str, carries: Carries) -> slicer.vtkMRMLTransformNode:
    """Returns a field as a transform node outside of any scene, to be an item of a sequence."""
    loose = slicer.vtkMRMLTransformNode()
    loose.SetName(name)
    _observe(loose, oriented_grid_transform(grid), carries)
    return loose


def _set_item(
    node: slicer.vtkMRMLSequenceNode, grid: DisplacementGrid, value: str, name: str, carries: Carries
) -> None:
    node.SetDataNodeAtValue(displacement_item(grid, name, carries), value)
