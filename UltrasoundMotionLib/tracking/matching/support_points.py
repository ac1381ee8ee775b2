"""Support points: places on tissue around the points asked for, which a tracker follows beside them."""

from __future__ import annotations

import numpy as np

_BLOCK = 8
"""Side of the blocks, in pixels of a frame whose longer side has 256, of which one holds a support point at most."""
_LEAST_STRUCTURE = 0.2
"""Share of the frame's median structure below which a block holds none."""


def support_points(image: np.ndarray, points: np.ndarray, count: int, *, reach: float, unit: float = 1.0) -> np.ndarray:
    """Finds up to `count` places (K, 2) for support points, one after the other: the best of how far it is from all
    other points and of how much structure in two directions it has (the structure tensor's lesser eigenvalue, Shi and
    Tomasi 1994).

    Places outside the sector, where grey levels are the frame's least, or without structure, as where graphics were
    filled, are left out.

    Args:
        image: (H, W) grey levels.
        points: (N, 2) px, the points asked for.
        reach: greatest distance from one of these, in pixels of a frame whose longer side has 256.
        unit: pixels of the image for one of these.
    """
    size = max(2, round(_BLOCK * unit))
    rows, columns = image.shape[0] // size, image.shape[1] // size
    if count <= 0 or rows < 3 or columns < 3:
        return np.zeros((0, 2))
    structure, shown = _structure(np.asarray(image, dtype=np.float64), size, rows, columns)
    if not shown.any():
        return np.zeros((0, 2))
    row, column = np.nonzero(shown & (structure > _LEAST_STRUCTURE * np.median(structure[shown])))
    places = (np.stack((column, row), axis=1) + 0.5) * size - 0.5
    nearest = np.square(places[:, None] - points[None]).sum(axis=2).min(axis=1)
    inside = (nearest <= (reach * unit) ** 2) & (nearest >= size**2)
    places, nearest, quality = places[inside], nearest[inside], structure[row, column][inside]
    if len(places) == 0:
        return places
    quality = quality / (quality + np.median(quality))
    chosen: list[int] = []
    while len(chosen) < min(count, len(places)):
        best = int(np.argmax(nearest * quality))
        if nearest[best] < size**2:
            break
        chosen.append(best)
        nearest = np.minimum(nearest, np.square(places - places[best]).sum(axis=1))
    return places[chosen]


def _structure(image: np.ndarray, size: int, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns each block's structure (rows, columns), and True where it and all blocks around it show something."""
    along_y, along_x = np.gradient(image)

    def blocks(values: np.ndarray) -> np.ndarray:
        cut = values[: rows * size, : columns * size].reshape(rows, size, columns, size)
        return cut.mean(axis=(1, 3))

    xx, yy, xy = (blocks(product) for product in (along_x**2, along_y**2, along_x * along_y))
    lesser = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)
    return lesser, _around(blocks((image > image.min()).astype(np.float64))) > 0.95


def _around(values: np.ndarray) -> np.ndarray:
    """Means of 3 x 3 neighbours, 0 beyond the border."""
    padded = np.pad(values, 1)
    total = padded[:-2] + padded[1:-1] + padded[2:]
    return (total[:, :-2] + total[:, 1:-1] + total[:, 2:]) / 9
