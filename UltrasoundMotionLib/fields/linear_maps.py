"""Linear maps of points as homogeneous matrices and as SimpleITK transforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import SimpleITK as sitk


def matrix_of(transform: sitk.Transform) -> np.ndarray | None:
    """Returns a linear SimpleITK transform as a homogeneous matrix (n+1, n+1); None if it is not linear."""
    if not transform.IsLinear():
        return None
    dimension = transform.GetDimension()
    matrix = np.eye(dimension + 1)
    matrix[:-1, -1] = transform.TransformPoint([0.0] * dimension)
    for axis in range(dimension):
        matrix[:-1, axis] = np.array(transform.TransformPoint(np.eye(dimension)[axis].tolist())) - matrix[:-1, -1]
    return matrix


def affine_transform(matrix: np.ndarray) -> sitk.AffineTransform:
    """Returns a homogeneous matrix (n+1, n+1) as a SimpleITK transform."""
    import SimpleITK as sitk

    dimension = len(matrix) - 1
    transform = sitk.AffineTransform(dimension)
    transform.SetMatrix(matrix[:dimension, :dimension].ravel().tolist())
    transform.SetTranslation(matrix[:dimension, dimension].tolist())
    return transform


def mapped(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns points (..., n) mapped by a homogeneous matrix (n+1, n+1)."""
    return np.asarray(points) @ matrix[:-1, :-1].T + matrix[:-1, -1]
