"""Distances between the surfaces of two segmentations, in mm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError


@dataclass(frozen=True)
class SurfaceDistance:
    """Surface distances of one label; NaN where neither map has the label, infinite where only one has it.

    Attributes:
        hd95_mm: the larger of the two directed 95th percentiles.
        hausdorff_mm: the largest distance.
        mean_mm: the mean over the surface voxels of both.
    """

    hd95_mm: float
    hausdorff_mm: float
    mean_mm: float


def surface_distance(
    fixed: np.ndarray, moving: np.ndarray, spacing_mm: Sequence[float], labels: Sequence[int] | None = None
) -> dict[int, SurfaceDistance]:
    """Computes the distances between surface voxels, from centre to centre.

    Surface voxels have a face neighbour outside the label; voxels beyond the image's border are outside.

    Args:
        fixed, moving: (H, W) or (D, H, W) label maps on one grid.
        spacing_mm: in the order (x, y[, z]), the reverse of the axes.
        labels: the labels to compare; by default every label above 0 in either map.

    Raises:
        InputError: shapes that differ, spacing that does not fit.
    """
    fixed, moving = np.asarray(fixed), np.asarray(moving)
    if fixed.shape != moving.shape or fixed.ndim not in (2, 3):
        raise InputError(
            f"labels: fixed {fixed.shape} and moving {moving.shape} must be 2D or 3D and of the same shape"
        )
    sampling = tuple(float(value) for value in spacing_mm)[::-1]
    if len(sampling) != fixed.ndim or min(sampling) <= 0:
        raise InputError(f"spacing_mm: expected {fixed.ndim} positive numbers, got {tuple(spacing_mm)}")
    if labels is None:
        labels = [int(label) for label in np.union1d(fixed, moving) if label > 0]
    return {int(label): _distance(fixed == label, moving == label, sampling) for label in labels}


def _distance(first: np.ndarray, second: np.ndarray, sampling: tuple[float, ...]) -> SurfaceDistance:
    from scipy.ndimage import binary_erosion, distance_transform_edt

    if not first.any() or not second.any():
        value = float("nan") if not first.any() and not second.any() else float("inf")
        return SurfaceDistance(value, value, value)
    box = _bounding_box(first | second)
    surfaces = [mask & ~binary_erosion(mask) for mask in (first[box], second[box])]
    to_first, to_second = (distance_transform_edt(~surface, sampling=sampling) for surface in surfaces)
    forward, backward = to_second[surfaces[0]], to_first[surfaces[1]]
    return SurfaceDistance(
        hd95_mm=float(max(np.percentile(forward, 95), np.percentile(backward, 95))),
        hausdorff_mm=float(max(forward.max(), backward.max())),
        mean_mm=float(np.concatenate([forward, backward]).mean()),
    )


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    """Returns the smallest box around the mask."""
    slices = []
    for axis in range(mask.ndim):
        present = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        slices.append(slice(present[0], present[-1] + 1))
    return tuple(slices)
