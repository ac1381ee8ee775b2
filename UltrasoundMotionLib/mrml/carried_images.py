"""Label maps and image volumes moved with a motion, by looking up where each voxel comes from.

A voxel takes the label that has most weight among the voxels around the place that it came from (linear weights). The
nearest voxel's label, which hardening a transform in Slicer takes, makes the volume of a ball that is 20 voxels across
jitter by 5 % (standard deviation over scales and positions), this by 1.5 %. Holes, islands and touching labels stay as
they are drawn, which a surface that is filled again would not keep. The grid keeps its directions, so that a
segmentation on an oblique slice stays on that slice (hardening spreads it over a grid along the patient's axes, on
which thin segments are lost).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from UltrasoundMotionLib.errors import InputError

_CHUNK = 1500
"""Voxels at a time, a few milliseconds where the motion is inverted."""

_LATTICE, _MANY_VOXELS, _LATTICE_ERROR = 3, 150_000, 0.2
"""The way back of so many voxels is interpolated between every third, if it is nowhere off by more
than that share of a voxel on the object's surface: several times quicker than to invert the motion at each."""

_MOST_GROWTH = 64
_ALWAYS_ALLOWED = 50_000_000

Map = Callable[[np.ndarray], np.ndarray]
Steps = Generator[None, None, None]


@dataclass(frozen=True, eq=False)
class PlacedArray:
    """An array of voxels in its node's coordinates.

    Attributes:
        array: (K, J, I), or (K, J, I, components).
        first: (i, j, k) index of its first voxel, as Slicer's extents begin.
        to_ras: (4, 4) from voxel index (i, j, k) to RAS mm.
    """

    array: np.ndarray
    first: np.ndarray
    to_ras: np.ndarray

    def points(self, index: np.ndarray) -> np.ndarray:
        """Returns RAS mm (N, 3) of voxel indices (N, 3) in (i, j, k)."""
        return index @ self.to_ras[:3, :3].T + self.to_ras[:3, 3]

    def index(self, points: np.ndarray) -> np.ndarray:
        """Returns voxel indices (N, 3) in (i, j, k) of RAS mm points."""
        return (points - self.to_ras[:3, 3]) @ np.linalg.inv(self.to_ras[:3, :3]).T

    @cached_property
    def cells(self) -> _Cells:
        """The labels in cells, made once for all frames."""
        return _Cells.of(self.array)

    @cached_property
    def surface_points(self) -> np.ndarray:
        """Returns RAS mm (N, 3) of the labelled voxels that touch the background or the array's border."""
        filled = np.pad(self.array != 0, 1)
        inner = filled.copy()
        for axis in range(3):
            inner &= np.roll(filled, 1, axis) & np.roll(filled, -1, axis)
        return self.points(np.argwhere((filled & ~inner)[1:-1, 1:-1, 1:-1])[:, ::-1] + self.first)


@dataclass(frozen=True, eq=False)
class _Cells:
    """The labels in cells of two voxels along each axis.

    Attributes:
        spanned: (3,) True for the axes (i, j, k) with more than one voxel.
        padded: (K, J, I) the labels, with background around them along the axes that are spanned.
        corners: (k, j, i) steps to the corners of a cell.
        uniform: True for the cells, by their first corner, that hold one label.
    """

    spanned: np.ndarray
    padded: np.ndarray
    corners: tuple[tuple[int, ...], ...]
    uniform: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> _Cells:
        """Pads an array (K, J, I) and compares its cells' corners."""
        spanned = np.array(labels.shape) > 1
        padded = np.pad(labels, [(1, 1) if one else (0, 0) for one in spanned])
        corners = tuple(corner for corner in np.ndindex(2, 2, 2) if not (np.array(corner) > spanned).any())
        ends = np.array(padded.shape) - spanned
        parts = [
            padded[tuple(slice(step, step + end) for step, end in zip(corner, ends, strict=True))] for corner in corners
        ]
        uniform = np.ones(parts[0].shape, dtype=bool)
        for part in parts[1:]:
            uniform &= part == parts[0]
        return cls(spanned[::-1], padded, corners, uniform)


def moving_labels(labels: PlacedArray, forward: Map, back: Map) -> Generator[None, None, PlacedArray]:
    """Moves labels in short steps; returns them on the same grid, continued as far as they move.

    Raises:
        InputError: they would fill many times more voxels than before, as with a motion of the wrong direction or unit.
    """
    surface = labels.surface_points
    if len(surface) == 0:
        return labels
    reached = []
    for start in range(0, len(surface), _CHUNK):
        reached.append(labels.index(forward(surface[start : start + _CHUNK])))
        yield
    places = np.vstack(reached)
    size = np.array(labels.array.shape[2::-1])
    margin = np.where(size > 1, 2, 0)
    lowest, highest = (np.round(end).astype(int) for end in (places.min(axis=0), places.max(axis=0)))
    lowest, highest = lowest - margin, highest + margin
    count = int(np.prod((highest - lowest + 1).astype(float)))
    if count > max(_ALWAYS_ALLOWED, _MOST_GROWTH * labels.array.size):
        raise InputError(
            f"the motion spreads the object over {count} voxels; look at its direction and at the object's place"
        )
    target = PlacedArray(np.zeros((highest - lowest + 1)[::-1], dtype=labels.array.dtype), lowest, labels.to_ras)
    way_back = yield from _way_back(labels, target, back, (places, labels.index(surface)))
    yield from _looked_up(labels, target, way_back, linear=False)
    return target


def moving_volume(volume: PlacedArray, back: Map, *, linear: bool) -> Generator[None, None, PlacedArray]:
    """Moves an image in short steps; returns it on its own grid, 0 where nothing comes from within it.

    Args:
        linear: interpolate values; otherwise the voxels are labels.
    """
    target = PlacedArray(np.zeros_like(volume.array), volume.first, volume.to_ras)
    size = np.array(volume.array.shape[2::-1])
    probed = volume.first + np.random.default_rng(0).uniform(0, 1, (_CHUNK, 3)) * (size - 1)
    way_back = yield from _way_back(volume, target, back, (probed, volume.index(back(volume.points(probed)))))
    yield from _looked_up(volume, target, way_back, linear=linear)
    return target


@dataclass(frozen=True, eq=False)
class _WayBack:
    """A map from voxels (i, j, k) of the target to their places in the source, and how many to ask for at a time."""

    origin: Map
    chunk: int


def _way_back(
    source: PlacedArray, target: PlacedArray, back: Map, known: tuple[np.ndarray, np.ndarray]
) -> Generator[None, None, _WayBack]:
    """Returns the way back voxel by voxel or, for many voxels, interpolated between every third, where that is exact
    enough.

    Args:
        known: voxels (N, 3) of the target and where they come from in the source, by which the interpolation is judged.
    """
    exact = _WayBack(lambda index: source.index(back(target.points(index))), _CHUNK)
    shape = np.array(target.array.shape[:3])
    if shape.prod() < _MANY_VOXELS:
        return exact
    nodes = np.where(shape > 1, -(-(shape - 1) // _LATTICE) + 1, 1)
    places = np.indices(tuple(nodes)).reshape(3, -1).T[:, ::-1] * _LATTICE
    shift = np.empty(places.shape)
    for start in range(0, len(places), _CHUNK):
        part = places[start : start + _CHUNK] + target.first
        shift[start : start + _CHUNK] = exact.origin(part) - part
        yield
    lattice = shift.reshape(*nodes, 3)

    def interpolated(index: np.ndarray) -> np.ndarray:
        return index + _interpolated(lattice, (index - target.first) / _LATTICE)

    error = np.abs(interpolated(known[0]) - known[1]).max()
    return _WayBack(interpolated, 4 * _CHUNK) if error < _LATTICE_ERROR else exact


def _looked_up(source: PlacedArray, target: PlacedArray, way_back: _WayBack, *, linear: bool) -> Steps:
    """Fills the target voxel by voxel from where they come from in the source."""
    size = np.array(source.array.shape[2::-1])
    shape = target.array.shape[:3]
    filled = target.array.reshape(-1, *target.array.shape[3:])
    look_up = _interpolated_image if linear else _most_weighted
    for start in range(0, len(filled), way_back.chunk):
        stop = min(start + way_back.chunk, len(filled))
        index = np.column_stack(np.unravel_index(np.arange(start, stop), shape))[:, ::-1] + target.first
        origin = way_back.origin(index) - source.first
        inside = ((origin >= -0.5) & (origin < size - 0.5)).all(axis=1)
        if inside.any():
            filled[start:stop][inside] = look_up(source, origin[inside])
        yield


def _most_weighted(source: PlacedArray, index: np.ndarray) -> np.ndarray:
    """Returns the label with most weight around voxel indices (N, 3) in (i, j, k), from the array's first voxel.

    Across a slice, where there is one voxel, it is that voxel's.
    """
    cells = source.cells
    lower = np.where(cells.spanned, np.floor(index), 0).astype(int)
    share = np.where(cells.spanned, index - lower, 0.0)
    place = tuple((lower + cells.spanned).T[::-1])  # in the padded array
    result = cells.padded[place]
    mixed = np.flatnonzero(~cells.uniform[place])
    if mixed.size:
        place, share = tuple(axis[mixed] for axis in place), share[mixed]
        values = np.array(
            [cells.padded[tuple(a + b for a, b in zip(place, corner, strict=True))] for corner in cells.corners]
        )
        weights = np.array([np.where(corner[::-1], share, 1 - share).prod(axis=1) for corner in cells.corners])
        present = np.unique(values)
        sums = np.array([np.where(values == label, weights, 0.0).sum(axis=0) for label in present])
        result[mixed] = present[sums.argmax(axis=0)]
    return result


def _interpolated_image(source: PlacedArray, index: np.ndarray) -> np.ndarray:
    return _interpolated(source.array, index)


def _interpolated(array: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Returns the values at voxel indices (N, 3) in (i, j, k), interpolated linearly, in the array's type."""
    from scipy.ndimage import map_coordinates

    components = array.reshape(*array.shape[:3], -1)
    values = np.column_stack(
        [
            map_coordinates(components[..., number], index.T[::-1], output=np.float64, order=1, mode="nearest")
            for number in range(components.shape[3])
        ]
    ).reshape(len(index), *array.shape[3:])
    return np.round(values).astype(array.dtype) if array.dtype.kind in "iu" else values.astype(array.dtype)
