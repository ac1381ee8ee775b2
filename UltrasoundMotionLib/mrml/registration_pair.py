"""Two volume nodes in a common space for registration, and displacements back in the nodes' own coordinates."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import slicer

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.mrml.displacement_transforms import DisplacementGrid
from UltrasoundMotionLib.mrml.volume_nodes import as_3d_volume, linear_between, volume_from_node

_MAXIMUM_TILT_DEGREES = 5.0
_NO_OFFSET_MM = 1e-6
_REPLACED_PARENT_ROLE = "UltrasoundMotion.replacedParent"
"""Node reference of a registration's transform: the moving volume's parent transform before registration."""
_MOVING_ROLE = "UltrasoundMotion.movingVolume"
"""Node reference of a registration's transform: the moving volume."""


@dataclass(frozen=True, eq=False)
class VolumePair:
    """Two volume nodes as the images to register.

    The space of the pair is the fixed node's own; for two slices it is the plane of the fixed slice.

    Attributes:
        fixed_node, moving_node: the two nodes.
        fixed, moving: 3D volumes, or 2D images where both nodes are a single slice; `moving` at its position relative
            to `fixed` in the scene.
        fixed_grid: the fixed image in the fixed node's own coordinates, 3D.
        fixed_space: (4, n+1) from the pair's space (x, y[, z], 1) to LPS mm of the fixed node's own coordinates.
        moving_space: (4, n+1) from the pair's space to LPS mm of the moving node's own coordinates.
    """

    fixed_node: slicer.vtkMRMLVolumeNode
    moving_node: slicer.vtkMRMLVolumeNode
    fixed: Volume
    moving: Volume
    fixed_grid: Volume
    fixed_space: np.ndarray
    moving_space: np.ndarray

    @classmethod
    def of_nodes(cls, fixed_node: slicer.vtkMRMLVolumeNode, moving_node: slicer.vtkMRMLVolumeNode) -> VolumePair:
        """Reads both nodes with their linear parent transforms.

        The transform of an earlier registration above the moving volume is ignored.

        Raises:
            InputError: a node without an image, axes that are not orthogonal, transforms that are not linear, a slice
                and a volume, slices in different planes.
        """
        if fixed_node is moving_node:
            raise InputError(f"{fixed_node.GetName()}: fixed and moving are the same volume")
        fixed, moving = volume_from_node(fixed_node), volume_from_node(moving_node)
        flat = [volume.array.shape[0] == 1 for volume in (fixed, moving)]
        if flat[0] != flat[1]:
            sizes = [f"{volume.name} {volume.array.shape[0]}" for volume in (fixed, moving)]
            raise InputError(
                f"{sizes[0]} and {sizes[1]} slices: both must be volumes of several slices, or both one slice"
            )
        to_fixed = linear_between(
            parent_before_registration(moving_node), fixed_node.GetParentTransformNode(), moving.name
        )
        placed = _placed(moving, to_fixed)
        if flat[0]:
            return cls._in_plane(fixed_node, moving_node, fixed, moving, placed)
        return cls(fixed_node, moving_node, fixed, placed, fixed, np.eye(4), np.linalg.inv(to_fixed))

    @classmethod
    def of_images(
        cls,
        fixed_node: slicer.vtkMRMLVolumeNode,
        moving_node: slicer.vtkMRMLVolumeNode,
        fixed: Volume,
        moving: Volume,
    ) -> VolumePair:
        """Makes the pair of two images and the nodes that `add_volume` made of them, which are under no transform.

        The space of the pair is the images' own; a 2D image lies in the plane z = 0 of its node.
        """
        to_nodes = np.eye(4)[:, [0, 1, 3]] if fixed.array.ndim == 2 else np.eye(4)
        return cls(fixed_node, moving_node, fixed, moving, as_3d_volume(fixed), to_nodes, to_nodes)

    @classmethod
    def _in_plane(
        cls,
        fixed_node: slicer.vtkMRMLVolumeNode,
        moving_node: slicer.vtkMRMLVolumeNode,
        fixed: Volume,
        moving: Volume,
        placed: Volume,
    ) -> VolumePair:
        tilt = np.degrees(np.arccos(min(1.0, abs(float(fixed.direction[:, 2] @ placed.direction[:, 2])))))
        if tilt > _MAXIMUM_TILT_DEGREES:
            raise InputError(
                f"{fixed.name} and {moving.name} lie in planes that are {tilt:.0f} degrees apart;"
                " slices must lie in one plane"
            )
        plane = np.eye(4)
        plane[:3, :3], plane[:3, 3] = fixed.direction, fixed.origin_mm
        # Voxel (i, j, 1) to the plane (x, y), projected along its normal.
        columns = (np.linalg.inv(plane) @ placed.index_to_lps_mm)[:2][:, [0, 1, 3]]
        spacing = np.linalg.norm(columns[:, :2], axis=0)
        flat_fixed = Volume(fixed.array[0], fixed.spacing_mm[:2], (0.0, 0.0), np.eye(2), fixed.name)
        flat_moving = Volume(
            placed.array[0], tuple(spacing), tuple(columns[:, 2]), columns[:, :2] / spacing, moving.name
        )
        in_plane = np.eye(4)[:, [0, 1, 3]]
        moving_space = moving.index_to_lps_mm @ in_plane @ np.linalg.inv(flat_moving.index_to_lps_mm)
        return cls(fixed_node, moving_node, flat_fixed, flat_moving, fixed, plane @ in_plane, moving_space)

    @property
    def lies_as_stored(self) -> bool:
        """True if no parent transform separates the nodes, so that their files give the same pair."""
        parents = parent_before_registration(self.moving_node), self.fixed_node.GetParentTransformNode()
        return bool(np.allclose(linear_between(*parents, self.moving.name), np.eye(4), atol=1e-9))

    def may_overlap(self) -> bool:
        """Returns False if the moving image's bounding box, in voxels of the fixed image, lies outside of it."""
        to_fixed = np.linalg.inv(self.fixed.index_to_lps_mm) @ self.moving.index_to_lps_mm
        ends = [(-0.5, size - 0.5) for size in self.moving.array.shape[::-1]]
        corners = (
            np.stack([*np.meshgrid(*ends, indexing="ij")], axis=-1).reshape(-1, len(ends)) @ to_fixed[:-1, :-1].T
            + to_fixed[:-1, -1]
        )
        return bool(
            np.all(corners.max(axis=0) > -0.5)
            and np.all(corners.min(axis=0) < np.array(self.fixed.array.shape[::-1]) - 0.5)
        )

    def fixed_labels(self, array: np.ndarray) -> Volume:
        """Returns an array (K, J, I) on the fixed node's grid as a label map or mask of `fixed`."""
        return self._like(self.fixed, array)

    def moving_labels(self, array: np.ndarray) -> Volume:
        """Returns an array (K, J, I) on the moving node's grid as a label map or mask of `moving`."""
        return self._like(self.moving, array)

    def _like(self, image: Volume, array: np.ndarray) -> Volume:
        return replace(image, array=np.ascontiguousarray(array.reshape(image.array.shape)))

    def on_fixed_node(self, array: np.ndarray, name: str) -> Volume:
        """Returns an array on the grid of `fixed` as a 3D volume in the fixed node's own coordinates."""
        return replace(self.fixed_grid, array=array.reshape(self.fixed_grid.array.shape), name=name)

    def check_unchanged(self) -> None:
        """Raises InputError if a node was removed or the fixed node's grid changed since the pair was made."""
        for node in (self.fixed_node, self.moving_node):
            if node.GetScene() is None:
                raise InputError(f"{node.GetName()}: is no longer in the scene, so the result has no place")
        now, then = volume_from_node(self.fixed_node), self.fixed_grid
        if now.array.shape != then.array.shape or not np.allclose(now.index_to_lps_mm, then.index_to_lps_mm, atol=1e-6):
            raise InputError(f"{then.name}: its grid was changed while it was registered; register again")

    def displacement_grid(self, displacement_mm: np.ndarray) -> DisplacementGrid:
        """Returns a displacement on the grid of `fixed` as a transform between the nodes' own coordinates.

        Args:
            displacement_mm: (H, W, 2) or (D, H, W, 3) in the space of the pair: fixed(x) = moving(x + u(x)).
        """
        # moving_space (x + u) - fixed_space x is the rotated u plus a part that is linear in the voxel's index, which
        # is 0 where both nodes share one space.
        dimension = self.fixed.array.ndim
        vectors = displacement_mm @ self.moving_space[:3, :dimension].T.astype(displacement_mm.dtype)
        by_index = (self.moving_space - self.fixed_space)[:3] @ self.fixed.index_to_lps_mm
        if np.abs(by_index).max() > _NO_OFFSET_MM / max(self.fixed.array.shape):
            vectors = vectors + by_index[:, dimension]
            for axis, size in enumerate(self.fixed.array.shape[::-1]):
                vectors += np.arange(size).reshape(-1, *[1] * (axis + 1)) * by_index[:, axis]
        node = self.fixed_grid
        return DisplacementGrid(vectors.reshape(*node.array.shape, 3), node.spacing_mm, node.origin_mm, node.direction)


def parent_before_registration(moving_node: slicer.vtkMRMLVolumeNode) -> slicer.vtkMRMLTransformNode | None:
    """Returns the parent transform of a volume; where that is a registration's, the parent before registration."""
    parent = moving_node.GetParentTransformNode()
    if parent is not None and parent.GetNodeReferenceID(_MOVING_ROLE) == moving_node.GetID():
        return parent.GetNodeReference(_REPLACED_PARENT_ROLE)
    return parent


def put_under(moving_node: slicer.vtkMRMLVolumeNode, transform: slicer.vtkMRMLTransformNode) -> None:
    """Puts the moving volume under its registration's transform, which keeps a reference to the previous parent."""
    before = parent_before_registration(moving_node)
    transform.SetNodeReferenceID(_MOVING_ROLE, moving_node.GetID())
    transform.SetNodeReferenceID(_REPLACED_PARENT_ROLE, before.GetID() if before is not None else None)
    moving_node.SetAndObserveTransformNodeID(transform.GetID())


def _placed(moving: Volume, to_fixed: np.ndarray) -> Volume:
    """Returns a volume moved by a linear transform (4, 4).

    Raises:
        InputError: the transform shears the axes.
    """
    matrix = to_fixed @ moving.index_to_lps_mm
    spacing = np.linalg.norm(matrix[:3, :3], axis=0)
    direction = matrix[:3, :3] / spacing
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
        raise InputError(f"{moving.name}: its parent transform shears it against the fixed volume; resample it first")
    return Volume(moving.array, tuple(spacing), tuple(matrix[:3, 3]), direction, moving.name)
