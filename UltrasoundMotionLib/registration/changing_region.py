"""The region in which two images of one scan differ, such as a beating heart in a resting chest."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from UltrasoundMotionLib.fields import ImageGrid
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.registration.working_grid import varying_box
from UltrasoundMotionLib.registration.working_pair import scale_intensities

_LEAST_CORRELATION = 0.75
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


def same_scan(fixed: Volume, moving: Volume) -> bool:
    """Returns True for images of one grid whose intensities correlate by 0.75 or more where neither is padding."""
    if not ImageGrid.of(fixed).matches(ImageGrid.of(moving)):
        return False
    boxes = [varying_box(volume.array) for volume in (fixed, moving)]
    common = tuple(slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(*boxes, strict=True))
    first, second = (scale_intensities(volume.array[common]) for volume in (fixed, moving))
    if first.size == 0 or first.min() == first.max() or second.min() == second.max():
        return False
    return float(np.corrcoef(first.ravel(), second.ravel())[0, 1]) >= _LEAST_CORRELATION


def changing_region(fixed: Volume, moving: Volume) -> tuple[slice, ...] | None:
    """Returns the box, in array order, in which two images of one scan (`same_scan`) differ.

    None where it is 70 % of the image or more, so that cutting would not pay, and where tissue outside it moves too.

    The absolute difference, averaged along the slices' axis and smoothed by 4 mm, counts above a tenth of its range;
    the box holds 98 % of it along each axis, and a margin of 15 % of the image. Only in-plane axes (the two finest) are
    cut.
    """
    first, second = scale_intensities(fixed.array), scale_intensities(moving.array)
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
    if kept >= WORTHWHILE or not _still_outside(first, second, spacing, plane, region):
        return None
    return region


def _still_outside(
    fixed: np.ndarray, moving: np.ndarray, spacing_mm: np.ndarray, plane: list[int], region: tuple[slice, ...]
) -> bool:
    """Returns False where the texture outside a region moves, in-plane, between two scaled images.

    The motion at a place is the least-squares solution of the optical flow constraint in a Gaussian window (Lucas and
    Kanade 1981), one step on images smoothed by 2 mm: it says that tissue moves, and by about how much when that is
    little.

    Args:
        spacing_mm: voxel sizes in array order.
        plane: the two axes in which tissue may move.
    """
    outside = np.ones(fixed.shape, dtype=bool)
    outside[region] = False

    def smoothed(image: np.ndarray, width_mm: float) -> np.ndarray:
        sigma = [width_mm / spacing_mm[axis] if axis in plane else 0.0 for axis in range(image.ndim)]
        return gaussian_filter(image, sigma)

    first, second = smoothed(fixed, _GRADIENT_MM), smoothed(moving, _GRADIENT_MM)
    one, other = (
        np.gradient((first + second) / 2, spacing_mm[axis], axis=axis)
        if first.shape[axis] > 1
        else np.zeros_like(first)
        for axis in plane
    )
    change = first - second
    squares, other_squares, product, right, other_right = (
        smoothed(part, _WINDOW_MM / 2) for part in (one * one, other * other, one * other, one * change, other * change)
    )
    texture = squares + other_squares
    typical = float(np.median(texture))
    seen = outside & (texture > typical / 2)
    if not seen.any():
        return True
    squares, other_squares = squares + _REGULARISATION * typical, other_squares + _REGULARISATION * typical
    determinant = squares * other_squares - product * product
    along = (other_squares * right - product * other_right)[seen] / determinant[seen]
    across = (squares * other_right - product * right)[seen] / determinant[seen]
    median, tenth = np.percentile(np.hypot(along, across), [50, 90]) / spacing_mm[plane].min()
    return bool(median < _STILL_MEDIAN_VOXELS and tenth < _STILL_TENTH_VOXELS)


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
