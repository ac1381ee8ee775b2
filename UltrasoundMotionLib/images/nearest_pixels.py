"""Nearest pixels of a mask with NumPy alone, since importing SciPy's search takes a quarter of a short run."""

from __future__ import annotations

import numpy as np

_REACH_PX = 16
_TOGETHER = 128


def nearest_pixels(places: np.ndarray, among: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Finds the pixels of a mask that lie nearest to given pixels; of equally near ones the first row by row.

    Args:
        places: (N, 2) int, (row, column).
        among: (H, W) bool, with at least `count` pixels.
        count: how many to find for each place.

    Returns:
        (N, count, 2) int, (row, column), the nearest first; and their distances (N, count) in pixels.
    """
    offsets, distances = _disc(_REACH_PX)
    padded = np.pad(among, _REACH_PX)
    steps = offsets @ (padded.shape[1], 1)
    centre = (places + _REACH_PX) @ (padded.shape[1], 1)
    found = np.zeros((len(places), count), dtype=np.intp)
    known = np.zeros(len(places), dtype=np.intp)
    open_ = np.arange(len(places))
    for begin in range(0, len(steps), _TOGETHER):
        hit = padded.ravel()[centre[open_, None] + steps[begin : begin + _TOGETHER]]
        rank = known[open_, None] + np.cumsum(hit, axis=1)
        row, step = np.nonzero(hit & (rank <= count))
        found[open_[row], rank[row, step] - 1] = begin + step
        known[open_] = rank[:, -1]
        open_ = open_[known[open_] < count]
        if not len(open_):
            break
    nearest, distance = places[:, None] + offsets[found], distances[found]
    if len(open_):  # deep inside, where a search in rings is slow
        from scipy.spatial import cKDTree

        candidates = np.argwhere(among)
        distance[open_], far = cKDTree(candidates).query(places[open_], k=np.arange(1, count + 1))
        nearest[open_] = candidates[far]
    return nearest, distance


def _disc(radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the offsets (K, 2) to all pixels within a radius, the nearest first, and their lengths (K,)."""
    line = np.arange(-radius, radius + 1)
    offsets = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    lengths = np.hypot(*offsets.T)
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] <= radius]
    return offsets[order], lengths[order]
