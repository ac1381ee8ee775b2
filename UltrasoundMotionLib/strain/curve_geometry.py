"""Geometry of a contour in the image plane: lengths, evenly spaced points, enclosed area, self-intersections."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.errors import InputError

MINIMUM_POINTS = 6
COLLAPSE_SHARE = 0.02  # neighbours closer than this fraction of the mean distance have collapsed


def chord_lengths(positions: np.ndarray, closed: bool = False) -> np.ndarray:
    """Returns the distances between neighbouring points (..., N, 2): (..., N-1), or (..., N) for a closed contour."""
    if closed:
        positions = np.concatenate([positions, positions[..., :1, :]], axis=-2)
    step = np.diff(positions, axis=-2)
    return np.hypot(step[..., 0], step[..., 1])


def arc_length(points: np.ndarray) -> np.ndarray:
    """Returns the distance (N,) of each point along a polyline (N, 2) from its first point."""
    return np.concatenate([[0.0], np.cumsum(chord_lengths(points))])


def evenly_spaced(points: np.ndarray, count: int, closed: bool = False) -> np.ndarray:
    """Returns points (count, 2) at equal distances along a polyline (N, 2); its ends are kept."""
    if closed:
        points = np.concatenate([points, points[:1]])
    arc = arc_length(points)
    wanted = np.linspace(0.0, arc[-1], count + 1)[:-1] if closed else np.linspace(0.0, arc[-1], count)
    return np.stack([np.interp(wanted, arc, points[:, axis]) for axis in range(2)], axis=1)


def signed_area(positions: np.ndarray) -> np.ndarray:
    """Returns the area (...) enclosed by points (..., N, 2) and the line from the last to the first.

    Positive where the points run clockwise in the image (y down).
    """
    x, y = positions[..., 0], positions[..., 1]
    return 0.5 * np.sum(x * np.roll(y, -1, axis=-1) - np.roll(x, -1, axis=-1) * y, axis=-1)


def _first_crossing(points: np.ndarray, closed: bool = False) -> tuple[int, int] | None:
    """Returns the first two pieces (i, j) of a polyline (N, 2) that cross, or None; piece i starts at point i."""
    start = points if closed else points[:-1]
    end = np.roll(points, -1, axis=0) if closed else points[1:]
    count = len(start)

    def side(origin: np.ndarray, tip: np.ndarray, point: np.ndarray) -> np.ndarray:
        along, across = tip - origin, point - origin
        return along[..., 0] * across[..., 1] - along[..., 1] * across[..., 0]

    one, other = (start[:, None], end[:, None]), (start[None], end[None])
    apart = (side(*one, other[0]) * side(*one, other[1]) < 0) & (side(*other, one[0]) * side(*other, one[1]) < 0)
    i, j = np.indices((count, count))
    neighbours = (j - i < 2) | (closed & (j - i == count - 1))
    crossings = np.argwhere(apart & ~neighbours)
    return (int(crossings[0][0]), int(crossings[0][1])) if len(crossings) else None


def check_contour(points: np.ndarray, closed: bool = False, name: str = "contour") -> np.ndarray:
    """Checks a contour and returns its points as (N, 2) float64; `name` begins the messages.

    Raises:
        InputError: a wrong shape, fewer than 6 points, values that are not finite, neighbours that coincide, a contour
            that crosses itself.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"{name}: points must be (N, 2), got shape {points.shape}")
    if len(points) < MINIMUM_POINTS:
        raise InputError(
            f"{name}: {len(points)} points are too few for strain; give at least {MINIMUM_POINTS} along the wall"
        )
    if not np.all(np.isfinite(points)):
        raise InputError(f"{name}: point {int(np.argmin(np.isfinite(points).all(axis=1)))} is not finite")
    lengths = chord_lengths(points, closed)
    shortest = int(np.argmin(lengths))
    if lengths[shortest] <= COLLAPSE_SHARE * lengths.mean():
        second = (shortest + 1) % len(points)
        raise InputError(
            f"{name}: points {shortest} and {second} collapse: {lengths[shortest]:.3g} apart"
            f" where the mean is {lengths.mean():.3g}"
        )
    crossing = _first_crossing(points, closed)
    if crossing is not None:
        raise InputError(
            f"{name}: crosses itself after points {crossing[0]} and {crossing[1]};"
            " give the points in order along the wall"
        )
    return points
