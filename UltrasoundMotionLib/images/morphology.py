"""Morphology, labels and convex hulls of masks with NumPy alone, since importing SciPy's takes 0.3 s of a short run.

Results are those of the functions of the same name in `scipy.ndimage` with their default border: beyond it a mask is
False, and an image is reflected.
"""

from __future__ import annotations

import numpy as np


def binary_dilation(mask: np.ndarray, iterations: int = 1) -> np.ndarray:
    """Dilates a mask (H, W) by a cross of 3 x 3 pixels."""
    for _ in range(iterations):
        wider = mask.copy()
        wider[1:] |= mask[:-1]
        wider[:-1] |= mask[1:]
        wider[:, 1:] |= mask[:, :-1]
        wider[:, :-1] |= mask[:, 1:]
        mask = wider
    return mask


def binary_erosion(mask: np.ndarray, iterations: int = 1) -> np.ndarray:
    """Erodes a mask (H, W) by a cross of 3 x 3 pixels; the border counts as an edge of the mask."""
    for _ in range(iterations):
        inner = np.zeros_like(mask)
        inner[1:-1, 1:-1] = mask[1:-1, 1:-1]
        inner[1:-1, 1:-1] &= mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
        mask = inner
    return mask


def binary_opening(mask: np.ndarray, iterations: int = 1) -> np.ndarray:
    """Removes what is thinner than a cross of 3 x 3 pixels, dilated `iterations` times."""
    return binary_dilation(binary_erosion(mask, iterations), iterations)


def binary_closing(mask: np.ndarray, iterations: int = 1) -> np.ndarray:
    """Fills gaps thinner than a cross of 3 x 3 pixels, dilated `iterations` times."""
    return binary_erosion(binary_dilation(mask, iterations), iterations)


def open_squares(mask: np.ndarray) -> np.ndarray:
    """Removes the pixels of a mask (H, W) that belong to no square of 2 x 2."""
    squares = mask[:-1, :-1] & mask[1:, :-1] & mask[:-1, 1:] & mask[1:, 1:]
    kept = np.zeros_like(mask)
    kept[:-1, :-1] = squares
    kept[1:, :-1] |= squares
    kept[:-1, 1:] |= squares
    kept[1:, 1:] |= squares
    return kept


def close_rectangles(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Fills gaps of a mask (H, W) smaller than a rectangle of odd height and width; the border counts as an edge."""
    grown = _extreme(_extreme(mask, height, 0, np.logical_or), width, 1, np.logical_or)
    inner = _extreme(_extreme(grown, height, 0, np.logical_and), width, 1, np.logical_and)
    rows, columns = height // 2, width // 2
    closed = np.zeros_like(mask)
    closed[rows : len(mask) - rows, columns : mask.shape[1] - columns] = inner[
        rows : len(mask) - rows, columns : mask.shape[1] - columns
    ]
    return closed


def grey_opening(image: np.ndarray, size: int) -> np.ndarray:
    """Returns an image (H, W) without bright structures thinner than a square of odd `size`."""
    return _largest(_least(image, size), size)


def grey_closing(image: np.ndarray, size: int) -> np.ndarray:
    """Returns an image (H, W) without dark structures thinner than a square of odd `size`."""
    return _least(_largest(image, size), size)


def _least(image: np.ndarray, size: int) -> np.ndarray:
    return _extreme(_extreme(image, size, 0, np.minimum), size, 1, np.minimum)


def _largest(image: np.ndarray, size: int) -> np.ndarray:
    return _extreme(_extreme(image, size, 0, np.maximum), size, 1, np.maximum)


def _extreme(image: np.ndarray, size: int, axis: int, choose: np.ufunc) -> np.ndarray:
    """Applies a running minimum or maximum over `size` pixels (odd) along an axis, cut off at the border."""
    radius = size // 2
    edge = np.pad(np.moveaxis(image, axis, 0), ((radius, radius), (0, 0)), mode="edge")  # as good as cut off
    length, found = 1, edge
    while 2 * length <= size:  # of runs of so many pixels, from two of half of them
        found = choose(found[:-length], found[length:])
        length *= 2
    count = image.shape[axis]
    return np.moveaxis(choose(found[:count], found[size - length : size - length + count]), 0, axis)


def uniform_filter(image: np.ndarray, size: int) -> np.ndarray:
    """Returns the means float32 over squares of odd `size` around the pixels of an image (H, W)."""
    radius = size // 2
    sums = np.pad(image, radius, mode="symmetric").astype(np.float64)
    for axis in (0, 1):
        sums = np.cumsum(sums, axis=axis)
        later, earlier = np.moveaxis(sums, axis, 0)[size - 1 :], np.moveaxis(sums, axis, 0)[: -size or None]
        later = later.copy()
        later[1:] -= earlier
        sums = np.moveaxis(later, 0, axis)
    return (sums / size**2).astype(np.float32)


def label(mask: np.ndarray) -> tuple[np.ndarray, int]:
    """Numbers the pieces of a mask (H, W) that hang together by the sides of their pixels.

    Returns:
        (H, W) int, 0 outside of the mask, else the number of the piece, from 1 in the order of their first pixels; and
        how many pieces there are.
    """
    height, width = mask.shape
    edges = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, first = np.nonzero(edges == 1)
    last = np.nonzero(edges == -1)[1]  # of each run of pixels in a row, one beyond its end
    if not len(row):
        return np.zeros(mask.shape, dtype=np.intp), 0
    runs = np.zeros((height, width), dtype=np.intp)
    runs[mask] = np.repeat(np.arange(1, len(row) + 1), last - first)
    upper, lower = runs[:-1][mask[:-1] & mask[1:]] - 1, runs[1:][mask[:-1] & mask[1:]] - 1
    piece = np.arange(len(row))
    while True:  # each run takes the least number that it touches, until none changes
        before = piece.copy()
        least = np.minimum(piece[upper], piece[lower])
        np.minimum.at(piece, piece[upper], least)
        np.minimum.at(piece, piece[lower], least)
        while not np.array_equal(piece, piece[piece]):
            piece = piece[piece]
        if np.array_equal(piece, before):
            break
    names, numbers = np.unique(piece, return_inverse=True)
    return np.concatenate(([0], numbers.reshape(-1) + 1))[runs], len(names)


def convex_hull(mask: np.ndarray) -> np.ndarray:
    """Fills the convex hull of a mask (H, W) with at least one pixel."""
    rows = np.flatnonzero(mask.any(axis=1))
    left, right = np.argmax(mask[rows], axis=1), mask.shape[1] - 1 - np.argmax(mask[rows, ::-1], axis=1)
    filled = np.zeros(mask.shape, dtype=bool)
    every = np.arange(rows[0], rows[-1] + 1)
    # Rounding must not lose the pixels on the hull itself.
    lower = np.interp(every, *_lower_hull(rows, left)) - 1e-6
    upper = -np.interp(every, *_lower_hull(rows, -right)) + 1e-6
    columns = np.arange(mask.shape[1])
    filled[every] = (columns >= lower[:, None]) & (columns <= upper[:, None])
    return filled


def _lower_hull(x: np.ndarray, y: np.ndarray) -> tuple[list[int], list[int]]:
    """Returns the corners of the lower side of the convex hull of points whose x ascend (Andrew's monotone chain)."""
    corners: list[tuple[int, int]] = []
    for point in zip(x.tolist(), y.tolist(), strict=True):
        while len(corners) > 1:
            (x0, y0), (x1, y1) = corners[-2:]
            if (x1 - x0) * (point[1] - y0) > (y1 - y0) * (point[0] - x0):
                break
            corners.pop()
        corners.append(point)
    return [corner[0] for corner in corners], [corner[1] for corner in corners]
