"""Groups of neighbouring points, so that what couples all points stays affordable with many thousands of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

MOST_POINTS_TOGETHER = 1024
"""Points up to which each is coupled to all others; time grows with the third power of their number."""
_MEMBERS, _AROUND = 64, 64
_GROUPS_TOGETHER = 64


def neighbour_groups(places: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Yields groups of neighbouring points, several at a time.

    Each group has 64 members that lie together, as the cells of a k-d tree, and the 64 points nearest to their centre
    that are not among them.

    Args:
        places: (N, 2) positions, more than 128.

    Yields:
        (B, 128) indices of the points of B groups, and the number of members, which come first. Members of different
        groups may overlap, where their number does not divide by 64.
    """
    members = np.stack(list(_cells(places, np.arange(len(places)))))
    groups = np.empty((len(members), _MEMBERS + _AROUND), dtype=np.intp)
    for row, inside in enumerate(members):
        squared = np.square(places - places[inside].mean(axis=0)).sum(axis=1)
        squared[inside] = np.inf
        groups[row] = np.concatenate([inside, np.argpartition(squared, _AROUND)[:_AROUND]])
    for start in range(0, len(groups), _GROUPS_TOGETHER):
        yield groups[start : start + _GROUPS_TOGETHER], _MEMBERS


def _cells(positions: np.ndarray, index: np.ndarray) -> Iterator[np.ndarray]:
    """Splits points in halves along their longer side until there are 64; the last cells share points."""
    if len(index) <= _MEMBERS:
        yield index
        return
    axis = int(np.argmax(np.ptp(positions[index], axis=0)))
    order = index[np.argsort(positions[index, axis], kind="stable")]
    groups = -(-len(order) // _MEMBERS)
    middle = max(_MEMBERS, groups // 2 * _MEMBERS)
    if len(order) < 2 * _MEMBERS:
        yield order[:_MEMBERS]
        yield order[-_MEMBERS:]
        return
    yield from _cells(positions, order[:middle])
    rest = order[middle:] if len(order) - middle >= _MEMBERS else order[-_MEMBERS:]
    yield from _cells(positions, rest)
