"""How well sound reaches each pixel of a frame: confidence maps by random walks (Karamalis, Wein, Klein and Navab, Med
Image Anal 2012).

A walker that starts on a pixel steps to its eight neighbours with weights that follow how sound travels: with ease
along a beam where the image changes little, hardly across. The confidence is the probability that it reaches the probe
before it reaches the far end of its beam.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import solveh_banded

from UltrasoundMotionLib.errors import InputError

LEAST_WEIGHT = 1e-5
"""Added to every edge, so that the system stays solvable across the sharpest border (as in the authors' code)."""

STEEPEST_PROBE = 1.0
"""Rows a column by which the upper border of a sector may fall and still count as the probe's face; its sides fall more
steeply.
"""

NEIGHBOURS = (((1, 0), 0.0), ((0, 1), 1.0), ((1, 1), np.sqrt(2)), ((1, -1), np.sqrt(2)))
"""Half of the eight (row, column) steps, and the factor of gamma of each."""


@dataclass(frozen=True)
class ConfidenceMapConfig:
    """The paper's settings.

    Attributes:
        alpha: attenuation of the grey levels from the probe to the deepest row.
        beta: how sharply a difference of grey levels stops the walker.
        gamma: penalty of a step across the beam, a step aslant costs sqrt(2) times as much.
    """

    alpha: float = 2.0
    beta: float = 90.0
    gamma: float = 0.05


def confidence_map(
    image: np.ndarray, mask: np.ndarray | None = None, config: ConfidenceMapConfig | None = None
) -> np.ndarray:
    """The confidence (H, W) in [0, 1] of a frame (H, W) whose beams run down the image; 0 outside of `mask`.

    The probe's face is the upper border of the mask as far as it is not steep, the far end the last pixel of each
    column. Beams of a sector are taken as columns, which holds in its middle and errs towards its sides.

    Args:
        mask: (H, W) bool, the pixels that show an image; all when None.

    Raises:
        InputError: the image is not (H, W) with at least 3 rows, or the mask has another shape or fewer than 3 rows.
    """
    config = config or ConfidenceMapConfig()
    image = np.asarray(image, dtype=np.float64)
    inside = np.ones(image.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if image.ndim != 2 or inside.shape != image.shape or np.count_nonzero(inside.any(axis=1)) < 3:
        raise InputError(
            f"a confidence map needs an image (H, W) and a mask of its shape with at least 3 rows, got {image.shape} and {inside.shape}"
        )
    system, right, free = random_walk_system(image, inside, config)
    confidence = np.zeros(image.shape)
    confidence[_seeds(inside) == 1] = 1.0
    confidence[free] = np.clip(_solve_banded(system, right), 0, 1)
    return confidence


def _solve_banded(system: sparse.csc_matrix, right: np.ndarray) -> np.ndarray:
    """Cholesky within the band, which is one row of the image wide: for so small a grid twice as quick as a sparse
    factorisation.
    """
    entries = system.tocoo()
    below = entries.row - entries.col
    band = np.zeros((below.max(initial=0) + 1, len(right)))
    lower = below >= 0
    band[below[lower], entries.col[lower]] = entries.data[lower]
    return solveh_banded(band, right, lower=True, overwrite_ab=True, check_finite=False)


def random_walk_system(
    image: np.ndarray, inside: np.ndarray, config: ConfidenceMapConfig
) -> tuple[sparse.csc_matrix, np.ndarray, np.ndarray]:
    """The reduced Laplacian (U, U), the right side (U,), and the (H, W) bool pixels that are its unknowns in order of
    rows (their Eq. 2).
    """
    top = np.argmax(inside, axis=0)
    depth = np.clip((np.arange(image.shape[0])[:, None] - top) / max(np.count_nonzero(inside.any(axis=1)) - 1, 1), 0, 1)
    low, high = image[inside].min(), image[inside].max()
    grey = (image - low) / max(high - low, 1e-12) * np.exp(-config.alpha * depth)
    seeds = _seeds(inside)
    number = np.cumsum(inside).reshape(inside.shape) - 1
    ends, differences, across = [], [], []
    for (down, right), factor in NEIGHBOURS:
        rows, columns = slice(0, image.shape[0] - down), slice(max(0, -right), image.shape[1] - max(0, right))
        other_rows, other_columns = slice(down, None), slice(max(0, right), image.shape[1] + min(0, right))
        both = inside[rows, columns] & inside[other_rows, other_columns]
        ends.append(np.stack((number[rows, columns][both], number[other_rows, other_columns][both])))
        differences.append(np.abs(grey[rows, columns] - grey[other_rows, other_columns])[both])
        across.append(np.full(np.count_nonzero(both), factor * config.gamma))
    first, second = np.concatenate(ends, axis=1)
    difference = np.concatenate(differences)
    difference = difference / max(difference.max(initial=0.0), 1e-12)
    weight = np.exp(-config.beta * (difference + np.concatenate(across))) + LEAST_WEIGHT
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
    """(H, W) int: 1 on the probe's face, 0 on the far end, -1 between and outside."""
    seeds = np.full(inside.shape, -1)
    columns = np.flatnonzero(inside.any(axis=0))
    top = np.argmax(inside, axis=0)
    last = inside.shape[0] - 1 - np.argmax(inside[::-1], axis=0)
    seeds[last[columns], columns] = 0
    shallowest = columns[top[columns] == top[columns].min()]
    left, right = shallowest[0], shallowest[-1]
    # Two columns at a time, since a slope of pixels is a staircase.
    while left - 2 >= columns[0] and top[left - 2] - top[left] <= 2 * STEEPEST_PROBE:
        left -= 1
    while right + 2 <= columns[-1] and top[right + 2] - top[right] <= 2 * STEEPEST_PROBE:
        right += 1
    left, right = (columns[0] if left - columns[0] < 2 else left), (columns[-1] if columns[-1] - right < 2 else right)
    face = np.arange(left, right + 1)
    face = face[inside.any(axis=0)[face] & (last[face] > top[face])]
    seeds[top[face], face] = 1
    return seeds


def reduce_frame(frame: np.ndarray, longest: int) -> tuple[np.ndarray, int]:
    """The frame (H, W) averaged over blocks so that its longer side has at most `longest` pixels, and the block's side;
    odd rests are repeated.
    """
    factor = int(np.ceil(max(frame.shape) / longest))
    height, width = (-(-side // factor) for side in frame.shape)
    padded = np.pad(frame, ((0, height * factor - frame.shape[0]), (0, width * factor - frame.shape[1])), mode="edge")
    return padded.reshape(height, factor, width, factor).mean(axis=(1, 3), dtype=np.float64), factor
