"""The measures of Learn2Reg, by the definitions of the challenge's evaluation: DSC and HD95 of labels.

SDlogJ is `jacobian_measures(...).sdlogj_learn2reg`; DSC30 is the 30 % quantile of the pairs' DSC.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import numpy as np

_CORNERS = tuple(itertools.product((0, 1), repeat=3))
_PERCENT = 95.0


def challenge_overlaps(
    fixed: np.ndarray, moving: np.ndarray, displacement: np.ndarray, labels: Sequence[int]
) -> tuple[dict[int, float], dict[int, float]]:
    """Returns DSC and HD95 in voxels of each label, NaN for one that either image lacks.

    The moving labels are sampled at the nearest voxel of x + u(x), and are background beyond the centres of the
    outermost voxels.

    Args:
        fixed, moving: (D, H, W) label maps.
        displacement: (3, D, H, W) in voxels, along (x, y, z).
        labels: to compare.
    """
    from scipy.ndimage import map_coordinates

    there = np.indices(fixed.shape) + displacement[::-1]
    warped = map_coordinates(moving, there, order=0, mode="constant", cval=0)
    overlaps, distances = {}, {}
    for label in labels:
        one, other = fixed == label, warped == label
        if not one.any() or not (moving == label).any():
            overlaps[label] = distances[label] = float("nan")
            continue
        overlaps[label] = 2 * float((one & other).sum()) / float(one.sum() + other.sum())
        distances[label] = robust_hausdorff(one, other)
    return overlaps, distances


def robust_hausdorff(first: np.ndarray, second: np.ndarray, percent: float = _PERCENT) -> float:
    """Returns the larger of the two directed percentiles of surface distances in voxels, weighted by area.

    The surface lies at the corners between voxels whose eight neighbours are not all inside or all outside, each with
    the area of its piece of surface. A directed percentile is the distance at which so much of the area is as near or
    nearer. Infinite where one mask is empty.
    """
    from scipy.ndimage import distance_transform_edt

    codes = [_neighbour_codes(mask) for mask in (first, second)]
    surfaces = [(code > 0) & (code < 255) for code in codes]
    if not all(surface.any() for surface in surfaces):
        return float("inf")
    areas = surface_areas()
    far = [distance_transform_edt(~surface) for surface in surfaces]
    return max(
        _percentile(far[1 - side][surfaces[side]], areas[codes[side][surfaces[side]]], percent) for side in (0, 1)
    )


def _percentile(distances: np.ndarray, areas: np.ndarray, percent: float) -> float:
    order = np.lexsort((areas, distances))
    share = np.cumsum(areas[order]) / areas.sum()
    return float(distances[order][min(int(np.searchsorted(share, percent / 100)), len(order) - 1)])


def _neighbour_codes(mask: np.ndarray) -> np.ndarray:
    """Returns for each corner between voxels, those at the border included, one bit for each of its eight voxels."""
    padded = np.pad(mask, 1)
    codes = np.zeros([size - 1 for size in padded.shape], np.uint8)
    for bit, corner in enumerate(_CORNERS):
        part = tuple(slice(one, one + size) for one, size in zip(corner, codes.shape, strict=True))
        codes |= padded[part].astype(np.uint8) << bit
    return codes


@functools.cache
def surface_areas() -> np.ndarray:
    """Returns the area of the piece of surface at a corner, by its code (256,), for voxels of edge 1.

    Marching cubes: the surface cuts edges between inside and outside at their middles. Where a face of the cube is cut
    twice, the voxels of the smaller side are cut off each on its own. A polygon is triangulated from that of its
    vertices that gives the largest area.
    """
    return np.array([_area(code if code.bit_count() <= 4 else 255 - code) for code in range(256)])


def _area(code: int) -> float:
    inside = {corner: bool(code >> bit & 1) for bit, corner in enumerate(_CORNERS)}
    pieces = [piece for face in _faces() for piece in _cuts(face, inside)]
    total = 0.0
    while pieces:
        loop = list(pieces.pop())
        while loop[-1] != loop[0]:
            following = next(piece for piece in pieces if loop[-1] in piece)
            pieces.remove(following)
            loop.append(following[1] if following[0] == loop[-1] else following[0])
        vertices = np.array(loop[:-1])
        total += max(_fan_area(np.roll(vertices, shift, axis=0)) for shift in range(len(vertices)))
    return total


def _faces() -> list[list[tuple[int, ...]]]:
    """Returns the corners of each face of the cube, around it."""
    faces = []
    for axis, side in itertools.product(range(3), (0, 1)):
        around = ((0, 0), (0, 1), (1, 1), (1, 0))
        faces.append([(*two[:axis], side, *two[axis:]) for two in around])
    return faces


def _cuts(
    face: list[tuple[int, ...]], inside: dict[tuple[int, ...], bool]
) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    """Returns the segments in which the surface cuts a face."""
    middles = [tuple((a + b) / 2 for a, b in zip(face[i], face[(i + 1) % 4], strict=True)) for i in range(4)]
    cut = [i for i in range(4) if inside[face[i]] != inside[face[(i + 1) % 4]]]
    if len(cut) == 4:
        return [(middles[i - 1], middles[i]) for i in range(4) if inside[face[i]]]
    return [(middles[cut[0]], middles[cut[1]])] if cut else []


def _fan_area(vertices: np.ndarray) -> float:
    edges = vertices[1:] - vertices[0]
    return float(np.linalg.norm(np.cross(edges[:-1], edges[1:]), axis=1).sum() / 2)
