"""The region in which two images of one scan differ, such as a beating heart in a resting chest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.likeness_weights import THICK_SLICES
from UltrasoundMotionLib.registration.working_grid import varying_box
from UltrasoundMotionLib.registration.working_pair import scale_intensities

LEAST_CORRELATION = 0.75
"""Least correlation of two images of one subject in one pose. Of the pairs tuned on, two moments of one heart have 0.82
or more, the hippocampi of two subjects 0.67 or less.
"""

_SMOOTHING_MM = 4.0
_THRESHOLD = 0.1
_CUT_TAIL = 0.01
_MARGIN = 0.15
_FADE = 0.04
WORTHWHILE = 0.7

_GRADIENT_MM = 2.0
_WINDOW_MM = 12.0
_REGULARISATION = 0.02
_STILL_MEDIAN_VOXELS = 0.35
_STILL_TENTH_VOXELS = 0.75
"""Outside the region tissue counts as still when half of it moves by less than 0.35 and nine tenths by less than 0.75
of the finest voxel size. Of twelve hearts of the training set the largest were 0.22 and 0.63.
"""


@dataclass(frozen=True)
class ChangingRegion:
    """The region in which two images of one scan differ.

    Attributes:
        box: slices in array order.
        still_mm: nine tenths of the tissue outside move by less than this between the images, mm.
    """

    box: tuple[slice, ...]
    still_mm: float


def same_scan(fixed: Volume, moving: Volume) -> bool:
    """Returns True for images of one grid whose intensities correlate by 0.75 or more where neither is padding."""
    if not ImageGrid.of(fixed).matches(ImageGrid.of(moving)):
        return False
    return one_scan_correlation(fixed.array, moving.array) >= LEAST_CORRELATION


def one_scan_correlation(fixed: np.ndarray, moving: np.ndarray, known: np.ndarray | None = None) -> float:
    """Returns the correlation of two arrays on one grid where neither is padding; 0 where one is constant.

    Args:
        known: False where the moving image ends; None: it covers all.
    """
    boxes = [varying_box(array) for array in (fixed, moving)]
    common = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(*boxes, strict=True))
    first, second = (scale_intensities(array[common]) for array in (fixed, moving))
    if known is not None:
        first, second = first[known[common]], second[known[common]]
    if first.size == 0 or first.min() == first.max() or second.min() == second.max():
        return 0.0
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1])


def changing_region(fixed: Volume, moving: Volume) -> tuple[slice, ...] | None:
    """Returns the box of `find_changing_region`."""
    found = find_changing_region(fixed, moving)
    return None if found is None else found.box


def find_changing_region(fixed: Volume, moving: Volume, known: np.ndarray | None = None) -> ChangingRegion | None:
    """Finds the box, in array order, in which two images of one scan on one grid differ.

    None where it is 70 % of the image or more, so that cutting would not pay, and where tissue outside it moves too.

    The absolute difference, averaged along the slices' axis and smoothed by 4 mm, counts above a tenth of its range;
    the box holds 98 % of it along each axis, and a margin of 15 % of the image. Only in-plane axes (the two finest) are
    cut.

    Args:
        known: (*spatial), False where the moving image ends; None: it covers all.
    """
    first, second = scale_intensities(fixed.array), scale_intensities(moving.array)
    if known is not None:
        second = np.where(known, second, first)
    spacing = np.array(fixed.spacing_mm[::-1])
    slices = int(np.argmax(spacing)) if fixed.array.ndim == 3 else None
    plane = [axis for axis in range(fixed.array.ndim) if axis != slices]
    difference = np.abs(first - second)
    difference = gaussian_filter(
        difference if slices is None else difference.mean(axis=slices), _SMOOTHING_MM / spacing[plane]
    )
    low = float(np.median(difference))
    difference = np.clip(difference - low - _THRESHOLD * (float(difference.max()) - low), 0, None)
    if not difference.any():
        return None
    box = [slice(0, size) for size in fixed.array.shape]
    for position, axis in enumerate(plane):
        size = fixed.array.shape[axis]
        share = np.cumsum(difference.sum(axis=1 - position))
        share /= share[-1]
        margin = int(np.ceil(_MARGIN * size))
        first_kept, last_kept = np.searchsorted(share, [_CUT_TAIL, 1 - _CUT_TAIL])
        box[axis] = slice(max(0, int(first_kept) - margin), min(size, int(last_kept) + margin + 1))
    region = tuple(box)
    kept = np.prod([one.stop - one.start for one in region]) / fixed.array.size
    if kept >= WORTHWHILE:
        return None
    outside = np.ones(fixed.array.shape, dtype=bool)
    outside[region] = False
    if known is not None:
        outside &= known
    thick = slices is None or spacing[slices] >= THICK_SLICES * spacing[plane].min()
    axes = plane if thick else list(range(fixed.array.ndim))
    median, tenth = _motion_of(first, second, spacing, axes, outside)
    finest = spacing[axes].min()
    if median >= _STILL_MEDIAN_VOXELS * finest or tenth >= _STILL_TENTH_VOXELS * finest:
        return None
    return ChangingRegion(region, tenth)


def _motion_of(
    fixed: np.ndarray, moving: np.ndarray, spacing_mm: np.ndarray, axes: list[int], where: np.ndarray
) -> tuple[float, float]:
    """Returns the median and the ninetieth percentile of how far texture moves between two scaled images, mm.

    The motion at a place is the least-squares solution of the optical flow constraint in a Gaussian window (Lucas and
    Kanade 1981), one step on images smoothed by 2 mm: it says that tissue moves, and by about how much when that is
    little. Both are 0 where there is no texture.

    Args:
        spacing_mm: voxel sizes in array order.
        axes: those along which tissue may move: in the plane of thick slices, or all.
        where: the voxels that count.
    """

    def smoothed(image: np.ndarray, width_mm: float) -> np.ndarray:
        return gaussian_filter(
            image, [width_mm / spacing_mm[axis] if axis in axes else 0.0 for axis in range(image.ndim)]
        )

    first, second = smoothed(fixed, _GRADIENT_MM), smoothed(moving, _GRADIENT_MM)
    middle, change = (first + second) / 2, first - second
    slopes = [
        np.gradient(middle, spacing_mm[axis], axis=axis) if first.shape[axis] > 1 else np.zeros_like(first)
        for axis in axes
    ]
    texture = sum(smoothed(one * one, _WINDOW_MM / 2) for one in slopes)
    typical = float(np.median(texture))
    seen = where & (texture > typical / 2)
    if not seen.any():
        return 0.0, 0.0
    squares = np.empty((int(seen.sum()), len(axes), len(axes)))
    right = np.empty((len(squares), len(axes), 1))
    for row, one in enumerate(slopes):
        right[:, row, 0] = smoothed(one * change, _WINDOW_MM / 2)[seen]
        for column, other in enumerate(slopes[: row + 1]):
            squares[:, row, column] = squares[:, column, row] = smoothed(one * other, _WINDOW_MM / 2)[seen]
    squares += _REGULARISATION * typical * np.eye(len(axes))
    moved = np.linalg.norm(np.linalg.solve(squares, right)[..., 0], axis=1)
    median, tenth = np.percentile(moved, [50, 90])
    return float(median), float(tenth)


def faded(displacement: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...]) -> np.ndarray:
    """Extends a displacement (*box, n) to the whole grid (*shape, n).

    It falls to 0 across 4 % of the image at those sides of the box that lie inside it.
    """
    result = np.zeros((*shape, displacement.shape[-1]), dtype=displacement.dtype)
    faded_out = displacement.copy()
    for axis, (one, size) in enumerate(zip(box, shape, strict=True)):
        line = np.arange(one.start, one.stop)
        width = max(2.0, _FADE * size)
        weight = np.ones(len(line))
        if one.start > 0:
            weight = np.minimum(weight, (line - one.start) / width)
        if one.stop < size:
            weight = np.minimum(weight, (one.stop - 1 - line) / width)
        weight = 0.5 - 0.5 * np.cos(np.pi * np.clip(weight, 0, 1))
        faded_out *= weight.reshape([-1 if other == axis else 1 for other in range(displacement.ndim)])
    result[box] = faded_out
    return result
