"""Ultrasound confidence maps by random walks (Karamalis, Wein, Klein and Navab, Med Image Anal 2012).

A random walk from a pixel steps to its eight neighbours with weights that model the propagation of sound: high along a
beam where the image changes little, low across beams. The confidence is the probability that it reaches the probe
before the far end of the beam.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import solveh_banded

from UltrasoundMotionLib.errors import InputError

_MINIMUM_WEIGHT = 1e-5
"""Added to every edge, so that the system stays solvable across the sharpest border (as in the authors' code)."""

_MAXIMUM_PROBE_SLOPE = 1.0
"""Slope (rows per column) up to which the upper border of a sector is the probe's face; its sides are steeper."""

_NEIGHBOURS = (((1, 0), 0.0), ((0, 1), 1.0), ((1, 1), np.sqrt(2)), ((1, -1), np.sqrt(2)))
"""Half of the eight (row, column) steps, and the factor of gamma of each."""


@dataclass(frozen=True)
class ConfidenceMapConfig:
    """The parameters of the paper.

    Attributes:
        alpha: attenuation of the grey levels from the probe to the deepest row.
        beta: penalty of a difference of grey levels.
        gamma: penalty of a step across the beam; a diagonal step costs sqrt(2) times as much.
    """

    alpha: float = 2.0
    beta: float = 90.0
    gamma: float = 0.05


def confidence_map(
    image: np.ndarray, mask: np.ndarray | None = None, config: ConfidenceMapConfig | None = None
) -> np.ndarray:
    """Computes the confidence (H, W) in [0, 1] of a frame (H, W) with the probe at the top; 0 outside `mask`.

    The probe's face is the part of the mask's upper border that is not steep, the far end each column's last pixel.
    Beams are approximated by columns, which is accurate in the middle of a sector and less so towards its sides.

    Args:
        image: (H, W) grey levels.
        mask: (H, W) bool, the pixels that show an image; all if None.
        config: the parameters; the paper's if None.

    Raises:
        InputError: the image is not (H, W) with at least 3 rows, or the mask has another shape or fewer than 3 rows.
    """
    config = config or ConfidenceMapConfig()
    image = np.asarray(image, dtype=np.float64)
    inside = np.ones(image.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if image.ndim != 2 or inside.shape != image.shape or np.count_nonzero(inside.any(axis=1)) < 3:
        raise InputError(
            "a confidence map needs an image (H, W) and a mask of its shape with at least 3 rows, "
            f"got {image.shape} and {inside.shape}"
        )
    system, right, free = _random_walk_system(image, inside, config)
    confidence = np.zeros(image.shape)
    confidence[_seeds(inside) == 1] = 1.0
    confidence[free] = np.clip(_solve_banded(system, right), 0, 1)
    return confidence


def _solve_banded(system: sparse.csc_matrix, right: np.ndarray) -> np.ndarray:
    """Solves the system by a banded Cholesky factorisation; the band is one image row wide.

    For small grids this is twice as fast as a sparse factorisation.
    """
    entries = system.tocoo()
    below = entries.row - entries.col
    band = np.zeros((below.max(initial=0) + 1, len(right)))
    lower = below >= 0
    band[below[lower], entries.col[lower]] = entries.data[lower]
    return solveh_banded(band, right, lower=True, overwrite_ab=True, check_finite=False)


def _random_walk_system(
    image: np.ndarray, inside: np.ndarray, config: ConfidenceMapConfig
) -> tuple[sparse.csc_matrix, np.ndarray, np.ndarray]:
    """Returns the reduced Laplacian (U, U), the right-hand side (U,), and its unknown pixels (H, W) bool (Eq. 2)."""
    top = np.argmax(inside, axis=0)
    depth = np.clip((np.arange(image.shape[0])[:, None] - top) / max(np.count_nonzero(inside.any(axis=1)) - 1, 1), 0, 1)
    low, high = image[inside].min(), image[inside].max()
    grey = (image - low) / max(high - low, 1e-12) * np.exp(-config.alpha * depth)
    seeds = _seeds(inside)
    number = np.cumsum(inside).reshape(inside.shape) - 1
    ends, differences, across = [], [], []
    for (down, right), factor in _NEIGHBOURS:
        rows, columns = slice(0, image.shape[0] - down), slice(max(0, -right), image.shape[1] - max(0, right))
        other_rows, other_columns = slice(down, None), slice(max(0, right), image.shape[1] + min(0, right))
        both = inside[rows, columns] & inside[other_rows, other_columns]
        ends.append(np.stack((number[rows, columns][both], number[other_rows, other_columns][both])))
        differences.append(np.abs(grey[rows, columns] - grey[other_rows, other_columns])[both])
        across.append(np.full(np.count_nonzero(both), factor * config.gamma))
    first, second = np.concatenate(ends, axis=1)
    difference = np.concatenate(differences)
    difference = difference / max(difference.max(initial=0.0), 1e-12)
    weight = np.exp(-config.beta * (difference + np.concatenate(across))) + _MINIMUM_WEIGHT
    count = np.count_nonzero(inside)
    walks = sparse.coo_matrix(
        (np.tile(weight, 2), (np.concatenate((first, second)), np.concatenate((second, first)))), shape=(count, count)
    ).tocsc()
    laplacian = sparse.diags(np.asarray(walks.sum(axis=0))[0]) - walks
    state = seeds[inside]
    unknown, probe = np.flatnonzero(state < 0), np.flatnonzero(state == 1)
    rows = laplacian.tocsr()[unknown]
    return rows[:, unknown].tocsc(), -np.asarray(rows[:, probe].sum(axis=1))[:, 0], inside & (seeds < 0)


def _seeds(inside: np.ndarray) -> np.ndarray:
    """Returns (H, W) int: 1 on the probe's face, 0 at the far end, -1 elsewhere."""
    seeds = np.full(inside.shape, -1)
    columns = np.flatnonzero(inside.any(axis=0))
    top = np.argmax(inside, axis=0)
    last = inside.shape[0] - 1 - np.argmax(inside[::-1], axis=0)
    seeds[last[columns], columns] = 0
    shallowest = columns[top[columns] == top[columns].min()]
    left, right = shallowest[0], shallowest[-1]
    # two columns at a time, since the border of a slope has steps of one pixel
    while left - 2 >= columns[0] and top[left - 2] - top[left] <= 2 * _MAXIMUM_PROBE_SLOPE:
        left -= 1
    while right + 2 <= columns[-1] and top[right + 2] - top[right] <= 2 * _MAXIMUM_PROBE_SLOPE:
        right += 1
    left, right = (columns[0] if left - columns[0] < 2 else left), (columns[-1] if columns[-1] - right < 2 else right)
    face = np.arange(left, right + 1)
    face = face[np.isin(face, columns) & (last[face] > top[face])]
    seeds[top[face], face] = 1
    return seeds


def reduce_frame(frame: np.ndarray, longest: int) -> tuple[np.ndarray, int]:
    """Averages a frame (H, W) over square blocks so that its longer side has at most `longest` pixels.

    Incomplete blocks are padded with the border value. Returns the reduced frame and the side of a block.
    """
    factor = int(np.ceil(max(frame.shape) / longest))
    height, width = (-(-side // factor) for side in frame.shape)
    padded = np.pad(frame, ((0, height * factor - frame.shape[0]), (0, width * factor - frame.shape[1])), mode="edge")
    return padded.reshape(height, factor, width, factor).mean(axis=(1, 3), dtype=np.float64), factor
