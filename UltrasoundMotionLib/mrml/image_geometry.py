"""Conversions between this library's LPS geometry and Slicer's RAS."""

from __future__ import annotations

import numpy as np
import slicer
import vtk

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence

LPS_TO_RAS = np.array([-1.0, -1.0, 1.0])
"""Factors of (x, y, z) from LPS to RAS, and back."""

SLICE_THICKNESS_MM = 1.0
"""Thickness of a slice where it is unknown, as Slicer's own reader sets it."""


def to_vtk_matrix(matrix: np.ndarray) -> vtk.vtkMatrix4x4:
    """Converts an array (4, 4) to a vtkMatrix4x4."""
    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=np.float64).ravel())
    return result


def from_vtk_matrix(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """Converts a vtkMatrix4x4 to an array (4, 4)."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def ijk_to_ras(spacing_mm: np.ndarray, origin_mm: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Returns the matrix (4, 4) from voxel indices (i, j, k) to RAS mm.

    Args:
        spacing_mm, origin_mm, direction: the grid in LPS: (3,), (3,) and (3, 3) with unit columns.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = LPS_TO_RAS[:, None] * (
        np.asarray(direction, dtype=np.float64) * np.asarray(spacing_mm, dtype=np.float64)
    )
    matrix[:3, 3] = LPS_TO_RAS * np.asarray(origin_mm, dtype=np.float64)
    return matrix


def sequence_ijk_to_ras(sequence: ImageSequence) -> np.ndarray:
    """Returns the matrix (4, 4) from (x, y, 0) pixels to RAS mm; a pixel is 1 mm where the spacing is unknown."""
    spacing = np.array([*(sequence.spacing_mm or (1.0, 1.0)), SLICE_THICKNESS_MM])
    return ijk_to_ras(spacing, np.asarray(sequence.origin_mm), sequence.direction)


def geometry_of(volume_node: slicer.vtkMRMLVolumeNode) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns spacing (3,) in mm, origin (3,) and direction (3, 3) in LPS of a node, without its parent transform.

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
    """Converts pixels (..., 2) to RAS mm (..., 3) in the image node's own coordinates, before any parent transform."""
    return sequence.pixels_to_lps_mm(points_px) * LPS_TO_RAS


def ras_mm_to_pixels(sequence: ImageSequence, points_ras: np.ndarray) -> np.ndarray:
    """Projects RAS mm (..., 3) in the image node's own coordinates along the image's normal to pixels (..., 2)."""
    return sequence.lps_mm_to_pixels(np.asarray(points_ras) * LPS_TO_RAS)
