"""The check that a file holds the motion that was written: where it takes points, compared with where it should."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.errors import OutputError
from UltrasoundMotionLib.exchange.motions.motion import Motion

_POINTS = 50
_WITHOUT_GRID_MM = 100.0
_TOLERANCE = 1e-5


def check_same_motion(written: Motion, found: Motion, tolerance_mm: float | None = None) -> None:
    """Checks that two motions take the same points to the same places.

    Args:
        tolerance_mm: a hundred-thousandth of the largest displacement or coordinate when None, which is what single
            precision keeps.

    Raises:
        OutputError: they do not.
    """
    points = _probes(written)
    expected, got = written.points(points), found.points(points)
    allowed = tolerance_mm or max(_TOLERANCE, _TOLERANCE * float(np.abs(expected).max()))
    if not np.abs(expected - got).max() <= allowed:
        raise OutputError("another motion than was written")


def _probes(motion: Motion) -> np.ndarray:
    """Returns points inside the motion's grid, or around the origin, (N, n) LPS mm."""
    random = np.random.default_rng(0)
    if motion.grid is None:
        return random.uniform(-_WITHOUT_GRID_MM, _WITHOUT_GRID_MM, (_POINTS, motion.dimension))
    grid = motion.grid
    index = random.integers(0, grid.shape[::-1], (_POINTS, grid.dimension))
    matrix = grid.index_to_lps_mm
    return index @ matrix[:-1, :-1].T + matrix[:-1, -1]
