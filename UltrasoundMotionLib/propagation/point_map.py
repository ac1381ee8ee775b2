"""A map of space from a few points that were followed: a thin-plate spline, or less where there are fewer points."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from UltrasoundMotionLib.errors import InputError

_SPLINE = "thin-plate spline"

_FLAT = 1e-3
"""Points whose extent along an axis is below this share of their longest one do not span that axis."""

_SAME_PLACE = 1e-6
"""Points closer than this share of the longest extent are one point."""


@dataclass(frozen=True, eq=False)
class PointMap:
    """A map x -> x + d(x) whose displacement d is given at some points and interpolated elsewhere.

    Attributes:
        kind: "translation" (one point), "similarity" (points on one line of a known plane), "linear" (points on one
            line), "affine" (a triangle in a plane, a tetrahedron in space) or "thin-plate spline" (more points;
            Bookstein, IEEE TPAMI 11(6), 1989).
        centre_mm, axes: origin (3,) and axes (3, d) of the coordinates in which the points lie; d is 1, 2 or 3. The
            displacement does not change across a plane or a line of points.
        places: (N, d) the points in these coordinates.
        weights: (N, 3) of the spline's kernel; zero for the other kinds.
        affine: (d + 1, 3) constant and linear part of the displacement.
    """

    kind: str
    centre_mm: np.ndarray
    axes: np.ndarray
    places: np.ndarray
    weights: np.ndarray
    affine: np.ndarray

    def __call__(self, points_mm: np.ndarray) -> np.ndarray:
        """Returns the points (M, 3) where the map takes them."""
        points = np.asarray(points_mm, dtype=np.float64)
        places = self._places_of(points)
        moved = points + self.affine[0] + places @ self.affine[1:]
        return moved + _kernel(places, self.places) @ self.weights if self.kind == _SPLINE else moved

    def inside(self, points_mm: np.ndarray) -> np.ndarray:
        """Returns True (M,) for points within the convex hull of the given ones, seen along a plane's normal.

        Nothing is inside of points that span less than a triangle (in a plane) or a tetrahedron (in space): elsewhere
        the map is extrapolated.
        """
        places = self._places_of(np.asarray(points_mm, dtype=np.float64))
        if self._hull is None:
            return np.zeros(len(places), dtype=bool)
        normals, limits = self._hull
        return (places @ normals.T <= limits).all(axis=1)

    def _places_of(self, points: np.ndarray) -> np.ndarray:
        return (points - self.centre_mm) @ self.axes

    @cached_property
    def _hull(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Outward normals (S, d) of the sides of the convex hull, and their greatest projection (S,) within it."""
        if self.kind not in ("affine", _SPLINE):
            return None
        if self.places.shape[1] == 2:
            normals = _sides_of_hull(self.places)
        else:
            from scipy.spatial import ConvexHull

            normals = ConvexHull(self.places).equations[:, :-1]
        tolerance = 1e-9 * float(np.ptp(self.places, axis=0).max())
        return normals, (self.places @ normals.T).max(axis=0) + tolerance


def fit_point_map(source_mm: np.ndarray, target_mm: np.ndarray, normal: np.ndarray | None = None) -> PointMap:
    """Returns the map that takes each source point to its target point.

    Args:
        source_mm, target_mm: (N, 3), N at least 1.
        normal: (3,) of the plane in which the points lie, such as that of a clip; found from the points when None.

    Raises:
        InputError: no points, different shapes, values that are not finite.
    """
    source, target = (np.asarray(points, dtype=np.float64) for points in (source_mm, target_mm))
    if source.shape != target.shape or source.ndim != 2 or source.shape[1] != 3 or len(source) == 0:
        raise InputError(f"points of a motion are (N, 3) before and after, got {source.shape} and {target.shape}")
    if not (np.isfinite(source).all() and np.isfinite(target).all()):
        raise InputError("the points of a motion hold values that are not finite")
    source, target = _merged(source, target)
    centre, displacement = source.mean(axis=0), target - source
    axes = _axes(source - centre, normal)
    places = (source - centre) @ axes
    dimension = axes.shape[1]
    rank = _rank(places)
    none = np.zeros((len(source), 3))

    def plain(kind: str, affine: np.ndarray) -> PointMap:
        return PointMap(kind, centre, axes, places, none, affine)

    if rank == 0:
        return plain("translation", np.vstack([displacement.mean(axis=0), np.zeros((dimension, 3))]))
    if rank == 1 and dimension == 2:
        return plain("similarity", _similarity(places, displacement, axes))
    linear = np.hstack([np.ones((len(places), 1)), places])
    if rank < dimension or len(source) <= dimension + 1:
        affine = np.linalg.lstsq(linear, displacement, rcond=None)[0]
        return plain("affine" if dimension > 1 else "linear", affine)
    if dimension == 1:
        return plain("linear", np.linalg.lstsq(linear, displacement, rcond=None)[0])
    system = np.zeros((len(source) + dimension + 1,) * 2)
    system[: len(source), : len(source)] = _kernel(places, places)
    system[: len(source), len(source) :] = linear
    system[len(source) :, : len(source)] = linear.T
    solved = np.linalg.solve(system, np.vstack([displacement, np.zeros((dimension + 1, 3))]))
    return PointMap(_SPLINE, centre, axes, places, solved[: len(source)], solved[len(source) :])


def _sides_of_hull(places: np.ndarray) -> np.ndarray:
    """Returns the outward unit normals (S, 2) of the convex hull of points in a plane (Andrew's monotone chain).

    SciPy's would load its spatial package into the application first.
    """
    ordered = np.unique(places, axis=0)
    corners: list[np.ndarray] = []
    for half in (ordered, ordered[::-1]):
        chain: list[np.ndarray] = []
        for point in half:
            while len(chain) > 1 and np.linalg.det(np.array([chain[-1] - chain[-2], point - chain[-1]])) <= 0:
                chain.pop()
            chain.append(point)
        corners += chain[:-1]
    sides = np.roll(corners, -1, axis=0) - np.array(corners)
    return np.column_stack([sides[:, 1], -sides[:, 0]]) / np.linalg.norm(sides, axis=1, keepdims=True)


def _kernel(places: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Returns the spline's kernel (M, N): r^2 log r in a plane, r in space."""
    squared = np.maximum(
        (places**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1)[None] - 2 * places @ centres.T, 0.0
    )
    if centres.shape[1] == 3:
        return np.sqrt(squared)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(squared > 0, 0.5 * squared * np.log(squared), 0.0)


def _merged(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the points with those that lie on each other replaced by their mean, which no spline can separate."""
    extent = float(np.linalg.norm(np.ptp(source, axis=0)))
    cells = np.round(source / (_SAME_PLACE * extent)) if extent > 0 else np.zeros_like(source)
    _, group = np.unique(cells, axis=0, return_inverse=True)
    group = group.ravel()
    counts = np.bincount(group)[:, None]
    return tuple(  # type: ignore[return-value]
        np.column_stack([np.bincount(group, weights=points[:, axis]) for axis in range(3)]) / counts
        for points in (source, target)
    )


def _axes(centred: np.ndarray, normal: np.ndarray | None) -> np.ndarray:
    """Returns the axes (3, d) that the points span, or those of the plane."""
    if normal is not None:
        unit = np.asarray(normal, dtype=np.float64) / np.linalg.norm(normal)
        return np.linalg.svd(unit[None])[2][1:].T
    lengths, axes = np.linalg.svd(centred, full_matrices=True)[1:]
    spanned = int((lengths > _FLAT * max(lengths[0], np.finfo(float).tiny)).sum()) if lengths[0] > 0 else 3
    return axes[:spanned].T


def _rank(places: np.ndarray) -> int:
    lengths = np.linalg.svd(places, compute_uv=False)
    return int((lengths > _FLAT * lengths[0]).sum()) if lengths[0] > 0 else 0


def _similarity(places: np.ndarray, displacement: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Returns shift, rotation and scale (3, 3) in a plane, by least squares; a mean shift across it."""
    before = places[:, 0] + 1j * places[:, 1]
    in_plane = displacement @ axes
    change = in_plane[:, 0] + 1j * in_plane[:, 1]
    mean = change.mean()
    factor = np.vdot(before, change - mean) / np.vdot(before, before)
    linear = np.array([[factor.real, factor.imag], [-factor.imag, factor.real]]) @ axes.T
    return np.vstack([displacement.mean(axis=0), linear])
