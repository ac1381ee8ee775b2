"""Contours of the heart's muscle from masks of labels, and masks from contours.

A border runs between two pixels, half a pixel from the centres of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError

POINTS = 49
_FEWEST_EDGES = 6
_MOST_POINTS = 400
"""Points of a border from which the contour is made; more do not change it, and cost time with their square."""
_LARGEST_GAP = 4
_SMOOTHING_PX = 1.5
_STEPS = ((0, -1), (-1, 0), (0, 1), (1, 0))  # (row, column) to the neighbour: left, above, right, below


@dataclass(frozen=True)
class _Edge:
    """An edge of a pixel on a border: its last corner, its middle (x, y), and True with the other region beyond."""

    pixel: tuple[int, int]
    end: tuple[int, int]
    middle: tuple[float, float]
    touches: bool


def contour_of_cavity(mask: np.ndarray, *, cavity: int, muscle: int) -> np.ndarray:
    """Returns points (49, 2) px along the border of the cavity where it meets the muscle, from the base on the left
    over the apex to the base on the right.

    Args:
        mask: (H, W) labels.

    Raises:
        InputError: a mask without cavity or muscle, or a border that `contour_from_curve` refuses.
    """
    from UltrasoundMotionLib.strain.curve_geometry import evenly_spaced  # not for other formats: it takes a while
    from UltrasoundMotionLib.strain.wall_contour import contour_from_curve

    border, touching = _border(mask == cavity, mask == muscle)
    if int(touching.sum()) < _FEWEST_EDGES:
        raise InputError(f"the mask has no border of label {cavity} with label {muscle}")
    curve = _longest_run(border, touching)
    return contour_from_curve(evenly_spaced(curve, min(len(curve), _MOST_POINTS)), POINTS).points_px


def contour_around_muscle(mask: np.ndarray, inner: np.ndarray, *, cavity: int, muscle: int) -> np.ndarray:
    """Returns points (49, 2) px along the outer border of the muscle, in the direction of the inner contour.

    The cut ends of the muscle at the base, from where no point inside the inner contour is nearest, are left out.

    Args:
        mask: (H, W) labels.
        inner: (N, 2), of `contour_of_cavity`.

    Raises:
        InputError: a mask without muscle around the cavity.
    """
    from UltrasoundMotionLib.strain.curve_geometry import evenly_spaced
    from UltrasoundMotionLib.strain.wall_contour import left_base_first

    inside = (mask == cavity) | (mask == muscle)
    border, _ = _border(inside, ~inside)
    nearest = np.linalg.norm(border[:, None] - inner, axis=2).argmin(axis=1)
    beside = (nearest > 0) & (nearest < len(inner) - 1)
    if int(beside.sum()) < _FEWEST_EDGES:
        raise InputError(f"the mask has no label {muscle} around label {cavity}")
    curve = _longest_run(border, beside)
    if left_base_first(curve) != left_base_first(inner):
        curve = curve[::-1]
    return evenly_spaced(curve, POINTS)


def mask_of_contours(inner: np.ndarray, outer: np.ndarray | None, shape: tuple[int, int]) -> np.ndarray:
    """Returns a mask (H, W) uint8: 1 inside the inner contour, closed by a straight line across the base, and 2 between
    it and the outer one.

    A pixel belongs to a region in which its centre lies.
    """
    mask = np.zeros(shape, dtype=np.uint8)
    if outer is not None:
        mask[_inside(np.concatenate([outer, inner[::-1]]), shape)] = 2
    mask[_inside(inner, shape)] = 1
    return mask


def _inside(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Returns the pixels (H, W) whose centre lies inside a closed polygon (N, 2), by the even-odd rule."""
    x = np.arange(shape[1])
    inside = np.zeros(shape, dtype=bool)
    following = np.roll(polygon, -1, axis=0)
    for row in range(shape[0]):
        crosses = (polygon[:, 1] > row) != (following[:, 1] > row)
        if not crosses.any():
            continue
        (x0, y0), (x1, y1) = polygon[crosses].T, following[crosses].T
        crossings = x0 + (row - y0) * (x1 - x0) / (y1 - y0)
        inside[row] = (crossings[:, None] > x).sum(axis=0) % 2 == 1
    return inside


def _border(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the middles (E, 2) of the pixel edges around the largest region, in order, and where `outside` is beyond.

    Raises:
        InputError: no region.
    """
    from scipy import ndimage

    regions, count = ndimage.label(inside)
    if not count:
        raise InputError("the mask has no pixel of the region")
    largest = 1 + int(np.argmax(np.bincount(regions.ravel())[1:]))
    region = ndimage.binary_fill_holes(regions == largest)
    padded, beyond = np.pad(region, 1), np.pad(outside, 1)
    # each edge runs with the region on its right, from corner to corner; corners are (row, column) of the padded mask
    starts: dict[tuple[int, int], list[_Edge]] = {}
    for side, (down, right) in enumerate(_STEPS):
        here = padded & ~np.roll(padded, (-down, -right), axis=(0, 1))
        for row, column in np.argwhere(here).tolist():
            corners = ((row + 1, column), (row, column), (row, column + 1), (row + 1, column + 1))
            start, end = corners[side], corners[(side + 1) % 4]
            middle = (column - 1 + right / 2, row - 1 + down / 2)
            edge = _Edge((row, column), end, middle, bool(beyond[row + down, column + right]))
            starts.setdefault(start, []).append(edge)
    edges = [next(iter(starts.values())).pop()]
    while choices := starts.get(edges[-1].end):
        # where two pixels touch at a corner only, the border stays with its own
        edge = next((one for one in choices if one.pixel == edges[-1].pixel), choices[-1])
        choices.remove(edge)
        edges.append(edge)
    return np.array([edge.middle for edge in edges]), np.array([edge.touches for edge in edges])


def _longest_run(border: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Returns the longest part of a closed border (E, 2) that is chosen, over small gaps, lightly smoothed."""
    from scipy import ndimage

    count = len(border)
    if chosen.all():
        raise InputError("the muscle goes all around, as in a short-axis view, so there is no base")
    filled = ndimage.binary_closing(np.tile(chosen, 3), np.ones(2 * _LARGEST_GAP + 1))[count : 2 * count] | chosen
    if filled.all():
        filled = chosen
    start = int(np.flatnonzero(~filled)[0])
    turned = np.roll(filled, -start)
    runs, number = ndimage.label(turned)
    longest = 1 + int(np.argmax(np.bincount(runs)[1:])) if number else 0
    curve = np.roll(border, -start, axis=0)[runs == longest]
    return ndimage.gaussian_filter1d(curve, _SMOOTHING_PX, axis=0, mode="nearest")
