"""A registered pair of images as Slicer's nodes: the transform that carries the moving image onto the fixed one, and
what it gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.displacement_transforms import DisplacementGrid, add_displacement_transform
from UltrasoundMotionLib.mrml.jacobian_nodes import jacobian_map, show_jacobian
from UltrasoundMotionLib.mrml.node_removal import remove_node, undone_on_error
from UltrasoundMotionLib.mrml.subject_hierarchy import put_in_folder
from UltrasoundMotionLib.mrml.volume_nodes import add_segmentation, add_volume, comparable_levels, grey_levels
from UltrasoundMotionLib.registration import Registration

CHECKERS = 6


@dataclass(frozen=True)
class RegistrationNodes:
    """Everything that one registration put into the scene.

    Attributes:
        transform: the displacement as a grid transform; a parent of the moving volume, it shows that on the fixed one.
        warped: the moving image resampled onto the fixed grid, for flicker: fixed and warped share grid and grey
            levels.
        jacobian: determinant of the displacement at every voxel: 1 keeps volume, 0 and below folds.
        checkerboard: fixed and warped image in turns.
        segmentation: the moving labels on the fixed image, or None.
    """

    transform: slicer.vtkMRMLTransformNode
    warped: slicer.vtkMRMLScalarVolumeNode
    jacobian: slicer.vtkMRMLScalarVolumeNode
    checkerboard: slicer.vtkMRMLScalarVolumeNode
    segmentation: slicer.vtkMRMLSegmentationNode | None

    def nodes(self) -> Iterator[slicer.vtkMRMLNode]:
        """All of them."""
        for name in self.__dataclass_fields__:
            node = getattr(self, name)
            if node is not None:
                yield node

    def remove(self) -> None:
        """Takes all of it out of the scene; a moving volume under the transform is where it was before."""
        for node in self.nodes():
            remove_node(node)


def add_registration(
    fixed_node: slicer.vtkMRMLVolumeNode,
    fixed: Volume,
    registration: Registration,
    *,
    moving_node: slicer.vtkMRMLVolumeNode | None = None,
) -> RegistrationNodes:
    """Adds a result beside the fixed image that is in the scene, in a folder of the Data module.

    Args:
        fixed_node: of the fixed image.
        fixed: the same image; its grid is the displacement's.
        moving_node: put under the transform if given, which is the only change to it.

    Raises:
        InputError: the displacement lies on another grid than the fixed image; the scene is then as it was.
    """
    grid = registration.displacement.grid
    if not ImageGrid.of(fixed).matches(grid, tolerance_mm=1e-3):
        raise InputError(
            f"{fixed.name}: the displacement lies on another grid ({grid.shape[::-1]} voxels against {fixed.array.shape[::-1]})"
        )
    scene, name = fixed_node.GetScene(), fixed_node.GetName()
    levels = grey_levels(fixed)
    with undone_on_error(scene):
        shown = registration.warped
        nodes = RegistrationNodes(
            transform=add_displacement_transform(
                scene, displacement_grid(registration.displacement), f"moving to {name}"
            ),
            warped=add_volume(scene, shown, f"moving on {name}", levels=comparable_levels(levels, shown)),
            jacobian=_add_jacobian(scene, fixed, registration.displacement, f"{name} Jacobian"),
            checkerboard=add_volume(scene, checkerboard(fixed, shown), f"{name} checkerboard", levels=(0.0, 1.0)),
            segmentation=None
            if registration.warped_labels is None
            else add_segmentation(scene, registration.warped_labels, f"moving labels on {name}", fixed_node),
        )
        put_in_folder(scene, fixed_node, nodes.nodes(), f"{name} registration")
        if moving_node is not None:
            moving_node.SetAndObserveTransformNodeID(nodes.transform.GetID())
    return nodes


def displacement_grid(field: DisplacementField) -> DisplacementGrid:
    """The field for a transform node; a 2D one as a slice in the plane z = 0.

    Raises:
        InputError: axes that are not orthogonal, which a grid transform cannot hold.
    """
    placed = field.as_single_slice()
    grid = placed.grid
    return DisplacementGrid(placed.displacement_mm, grid.spacing_mm, grid.origin_mm, grid.direction)


def checkerboard(fixed: Volume, warped: Volume) -> Volume:
    """Both images in [0, 1] in turns, in blocks as wide in mm along every axis; float32 on the fixed grid."""
    pictures = [_in_unit_range(volume) for volume in (fixed, warped)]
    spacing = np.array(fixed.spacing_mm[::-1])
    edge_mm = (np.array(fixed.array.shape) * spacing).max() / CHECKERS
    lines = [np.arange(size) * step // edge_mm for size, step in zip(fixed.array.shape, spacing, strict=True)]
    odd = sum(np.meshgrid(*lines, indexing="ij")) % 2 == 1
    return Volume(
        np.where(odd, pictures[1], pictures[0]).astype(np.float32),
        fixed.spacing_mm,
        fixed.origin_mm,
        fixed.direction,
        "checkerboard",
    )


def _add_jacobian(
    scene: slicer.vtkMRMLScene, fixed: Volume, field: DisplacementField, name: str
) -> slicer.vtkMRMLScalarVolumeNode:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GenerateUniqueName(name))
    show_jacobian(node, jacobian_map(field.displacement_mm, fixed))
    return node


def _in_unit_range(volume: Volume) -> np.ndarray:
    low, high = grey_levels(volume)
    return np.clip((volume.array.astype(np.float32) - low) / (high - low), 0, 1)
