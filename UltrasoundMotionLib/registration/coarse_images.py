"""Coarse copies of two images, on which a rigid start is searched and likeness is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import binary_erosion, label

from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.working_pair import scale_intensities

if TYPE_CHECKING:
    import SimpleITK as sitk

_LEAST_PADDING = 0.005
"""Least share of the voxels that is taken for padding."""


@dataclass(frozen=True, eq=False)
class CoarseImage:
    """An image with voxels of one size along all axes.

    Attributes:
        values: float32, intensities scaled to [0, 1]; 0 where nothing is known.
        known: bool, False in padding and outside the image.
        grid: of both.
    """

    values: np.ndarray
    known: np.ndarray
    grid: ImageGrid

    @classmethod
    def of(cls, volume: Volume, step_mm: float) -> CoarseImage:
        """Averages an image over blocks of about `step_mm`; between them and thick slices it is interpolated."""
        factors = [max(1, int(step_mm / step)) for step in volume.spacing_mm[::-1]]
        weight = content_mask(volume.array).astype(np.float32)
        share = _block_means(weight, factors)
        values = _block_means(scale_intensities(volume.array) * weight, factors) / np.maximum(share, 1e-6)
        blocks = _block_grid(ImageGrid.of(volume), factors, share.shape)
        grid = isotropic_grid(ImageGrid.of(volume), step_mm)
        return cls(*sampled(values, share > 0.5, blocks, grid.points_lps_mm()), grid)

    def seen_from(self, grid: ImageGrid, start: sitk.Transform | None = None) -> CoarseImage:
        """Resamples onto another grid, through a transform from its points to those of this image."""
        points = grid.points_lps_mm()
        return self.seen_at(points if start is None else transformed(points, start), grid)

    def seen_at(self, points_mm: np.ndarray, grid: ImageGrid) -> CoarseImage:
        """Resamples at the points (*grid.shape, n), LPS mm, that the voxels of a grid are carried to."""
        return CoarseImage(*sampled(self.values, self.known, self.grid, points_mm), grid)

    def edges(self) -> CoarseImage:
        """Returns the length of the gradient, which images of any modality have in common."""
        slopes = [np.gradient(self.values, axis=axis) for axis, size in enumerate(self.values.shape) if size > 1]
        inside = binary_erosion(self.known, border_value=1)
        return CoarseImage((np.sqrt(sum(one * one for one in slopes)) * inside).astype(np.float32), inside, self.grid)


def content_mask(array: np.ndarray) -> np.ndarray:
    """Returns False in constant padding: voxels of exactly the value of a corner that are connected to it."""
    known = np.ones(array.shape, dtype=bool)
    corners = np.ix_(*[sorted({0, size - 1}) for size in array.shape])
    for value in np.unique(array[corners]):
        same = array == value
        if same.mean() < _LEAST_PADDING:
            continue
        parts, _ = label(same)
        touching = np.unique(parts[corners][array[corners] == value])
        padding = np.isin(parts, touching[touching > 0])
        if _LEAST_PADDING <= padding.mean() < 1:
            known &= ~padding
    return known if known.any() else np.ones(array.shape, dtype=bool)


def _block_means(array: np.ndarray, factors: list[int]) -> np.ndarray:
    """Averages over blocks of so many voxels along each axis; the last block of an axis may be smaller."""
    result: np.ndarray = array.astype(np.float32)
    for axis, factor in enumerate(factors):
        size = result.shape[axis]
        if factor == 1:
            continue
        starts = np.arange(0, size - size % factor if size >= factor else 1, factor)
        counts = np.diff([*starts, size]).astype(np.float32)
        shape = [-1 if one == axis else 1 for one in range(result.ndim)]
        result = np.add.reduceat(result, starts, axis=axis) / counts.reshape(shape)
    return result


def _block_grid(grid: ImageGrid, factors: list[int], shape: tuple[int, ...]) -> ImageGrid:
    """Returns the grid of the blocks' centres."""
    several = np.array(factors[::-1], dtype=float)
    origin = np.array(grid.origin_mm) + grid.direction @ ((several - 1) / 2 * grid.spacing_mm)
    return ImageGrid(shape, tuple(several * grid.spacing_mm), tuple(origin), grid.direction)


def isotropic_grid(grid: ImageGrid, step_mm: float) -> ImageGrid:
    """Returns a grid over the same region, along the same axes, with one spacing for all of them."""
    extent = np.array(grid.shape[::-1]) * grid.spacing_mm
    size = np.maximum(np.round(extent / step_mm), 1).astype(int)
    origin = grid.middle_mm - grid.direction @ ((size - 1) / 2 * step_mm)
    return ImageGrid(tuple(int(one) for one in size[::-1]), (step_mm,) * len(size), tuple(origin), grid.direction)


def step_for(fixed: Volume, moving: Volume, most_voxels: int) -> float:
    """Returns the voxel size, mm, at which the larger image has `most_voxels` along its longest axis."""
    extents = [max(np.array(one.array.shape[::-1]) * one.spacing_mm) for one in (fixed, moving)]
    return float(max(extents) / most_voxels)


def sampled(
    values: np.ndarray, known: np.ndarray, grid: ImageGrid, points_mm: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Interpolates values at points (..., n), LPS mm: the values, 0 where unknown, and what is known."""
    from scipy.ndimage import map_coordinates

    index = np.moveaxis(grid.to_index(points_mm), -1, 0)[::-1]
    size = np.array(grid.shape).reshape(-1, *[1] * (index.ndim - 1))
    inside = ((index >= -0.5) & (index <= size - 0.5)).all(axis=0)
    weight = known.astype(np.float32)
    share = map_coordinates(weight, index, order=1, mode="nearest") * inside
    found = map_coordinates((values * weight).astype(np.float32), index, order=1, mode="nearest")
    seen = share > 0.5
    return np.where(seen, found / np.where(seen, share, 1), 0).astype(np.float32), seen


def transformed(points_mm: np.ndarray, start: sitk.Transform) -> np.ndarray:
    """Carries points (..., n), LPS mm, through a SimpleITK transform."""
    dimension = points_mm.shape[-1]
    if start.IsLinear():
        origin = np.array(start.TransformPoint([0.0] * dimension))
        columns = np.array([start.TransformPoint(axis) for axis in np.eye(dimension).tolist()]) - origin
        return points_mm @ columns + origin
    flat = [start.TransformPoint(point) for point in points_mm.reshape(-1, dimension).tolist()]
    return np.array(flat).reshape(points_mm.shape)
