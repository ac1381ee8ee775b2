"""Between this library's LPS geometry and Slicer's RAS."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
"""Factors of (x, y, z); its own inverse."""

SLICE_THICKNESS_MM = 1.0
"""What Slicer's own reader gives to a slice whose thickness is not known."""


def to_vtk_matrix(matrix: np.ndarray) -> vtk.vtkMatrix4x4:
    """A (4, 4) array as vtkMatrix4x4."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel())
    return result


def from_vtk_matrix(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """A vtkMatrix4x4 as (4, 4) array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def ijk_to_ras(spacing_mm: np.ndarray, origin_mm: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """(4, 4) matrix from a voxel index (i, j, k) to RAS mm, of a grid given in LPS: spacing (3,), origin (3,),
    direction (3, 3) columns.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = LPS_TO_RAS[:, None] * (
        np.asarray(direction, dtype=np.float64) * np.asarray(spacing_mm, dtype=np.float64)
    )
    matrix[:3, 3] = LPS_TO_RAS * np.asarray(origin_mm, dtype=np.float64)
    return matrix


def sequence_ijk_to_ras(sequence: ImageSequence) -> np.ndarray:
    """(4, 4) matrix from (x, y, 0) pixels to RAS mm. A pixel counts as 1 mm where the spacing is unknown."""
    spacing = np.array([*(sequence.spacing_mm or (1.0, 1.0)), SLICE_THICKNESS_MM])
    return ijk_to_ras(spacing, np.asarray(sequence.origin_mm), sequence.direction)


def geometry_of(volume_node: slicer.vtkMRMLVolumeNode) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spacing (3,) in mm, LPS origin (3,) and LPS direction (3, 3) of a volume node, without its parent transform.

    Raises:
        InputError: the node's axes are not orthogonal.
    """
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    array = from_vtk_matrix(matrix)
    spacing = np.linalg.norm(array[:3, :3], axis=0)
    if np.any(spacing == 0):
        raise InputError(f"{volume_node.GetName()}: an axis of the volume has no length")
    direction = LPS_TO_RAS[:, None] * array[:3, :3] / spacing
    if not np.allclose(direction.T @ direction, np.eye(3), atol=1e-4):
        raise InputError(f"{volume_node.GetName()}: the volume's axes are not orthogonal; harden or resample it first")
    return spacing, LPS_TO_RAS * array[:3, 3], direction


def pixels_to_ras_mm(sequence: ImageSequence, points_px: np.ndarray) -> np.ndarray:
    """Points (..., 2) in pixels to RAS mm (..., 3) in the image node's own coordinates (before any parent transform)."""
    return sequence.pixels_to_lps_mm(points_px) * LPS_TO_RAS


def ras_mm_to_pixels(sequence: ImageSequence, points_ras: np.ndarray) -> np.ndarray:
    """Points (..., 3) in RAS mm of the image node's own coordinates to pixels (..., 2), projected along the image's
    normal.
    """
    return sequence.lps_mm_to_pixels(np.asarray(points_ras) * LPS_TO_RAS)
