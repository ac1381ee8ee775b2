"""Geometry of a contour in the image plane: lengths, evenly spaced points, enclosed area, crossings."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.errors import InputError

MINIMUM_POINTS = 6
COLLAPSE_SHARE = 0.02  # two neighbours closer than this part of the mean distance have collapsed


def chord_lengths(positions: np.ndarray, closed: bool = False) -> np.ndarray:
    """(..., N-1) distances between neighbours of (..., N, 2) points; (..., N) with the one from the last to the first
    where closed.
    """
    if closed:
        positions = np.concatenate([positions, positions[..., :1, :]], axis=-2)
    step = np.diff(positions, axis=-2)
    return np.hypot(step[..., 0], step[..., 1])


def arc_length(points: np.ndarray) -> np.ndarray:
    """(N,) distance along a polyline (N, 2) from its first point."""
    return np.concatenate([[0.0], np.cumsum(chord_lengths(points))])


def evenly_spaced(points: np.ndarray, count: int, closed: bool = False) -> np.ndarray:
    """(count, 2) points at equal distances along a polyline (N, 2); both ends are kept, or the first point where
    closed.
    """
    if closed:
        points = np.concatenate([points, points[:1]])
    arc = arc_length(points)
    wanted = np.linspace(0.0, arc[-1], count + 1)[:-1] if closed else np.linspace(0.0, arc[-1], count)
    return np.stack([np.interp(wanted, arc, points[:, axis]) for axis in range(2)], axis=1)


def signed_area(positions: np.ndarray) -> np.ndarray:
    """(...) area enclosed by (..., N, 2) points and the line from the last to the first; positive where the points run
    clockwise as seen (y down).
    """
    x, y = positions[..., 0], positions[..., 1]
    return 0.5 * np.sum(x * np.roll(y, -1, axis=-1) - np.roll(x, -1, axis=-1) * y, axis=-1)


def first_crossing(points: np.ndarray, closed: bool = False) -> tuple[int, int] | None:
    """The first two pieces (i, j) of a polyline (N, 2) that cross, piece i running from point i to i + 1; None when it
    does not cross itself.
    """
    start = points if closed else points[:-1]
    end = np.roll(points, -1, axis=0) if closed else points[1:]
    count = len(start)

    def side(origin: np.ndarray, tip: np.ndarray, place: np.ndarray) -> np.ndarray:
        return (tip[..., 0] - origin[..., 0]) * (place[..., 1] - origin[..., 1]) - (tip[..., 1] - origin[..., 1]) * (
            place[..., 0] - origin[..., 0]
        )

    one, other = (start[:, None], end[:, None]), (start[None], end[None])
    apart = (side(*one, other[0]) * side(*one, other[1]) < 0) & (side(*other, one[0]) * side(*other, one[1]) < 0)
    i, j = np.indices((count, count))
    neighbours = (j - i < 2) | (closed & (j - i == count - 1))
    crossings = np.argwhere(apart & ~neighbours)
    return (int(crossings[0][0]), int(crossings[0][1])) if len(crossings) else None


def check_contour(points: np.ndarray, closed: bool = False, what: str = "contour") -> np.ndarray:
    """Returns the points as (N, 2) float64.

    Raises:
        InputError: a wrong shape, fewer than 6 points, values that are not finite, neighbours that coincide, a contour
            that crosses itself.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"{what}: points must be (N, 2), got shape {points.shape}")
    if len(points) < MINIMUM_POINTS:
        raise InputError(
            f"{what}: {len(points)} points are too few for strain; give at least {MINIMUM_POINTS} along the wall"
        )
    if not np.all(np.isfinite(points)):
        raise InputError(f"{what}: point {int(np.argmin(np.isfinite(points).all(axis=1)))} is not finite")
    lengths = chord_lengths(points, closed)
    shortest = int(np.argmin(lengths))
    if lengths[shortest] <= COLLAPSE_SHARE * lengths.mean():
        second = (shortest + 1) % len(points)
        raise InputError(
            f"{what}: points {shortest} and {second} collapse: {lengths[shortest]:.3g} apart where the mean is {lengths.mean():.3g}"
        )
    crossing = first_crossing(points, closed)
    if crossing is not None:
        raise InputError(
            f"{what}: crosses itself after points {crossing[0]} and {crossing[1]}; give the points in order along the wall"
        )
    return points
