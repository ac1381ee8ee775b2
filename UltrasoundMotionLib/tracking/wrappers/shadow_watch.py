"""Detection of landmarks in shadow: the random walks' confidence on a reduced grid, relative to the usual one at the
same depth.
"""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.images.confidence_map import confidence_map, reduce_frame
from UltrasoundMotionLib.images.morphology import label
from UltrasoundMotionLib.images.smoothing import sample_bilinear


class ShadowWatch:
    """Sees a sequence frame by frame and keeps only the mask of pixels that have ever shown an image."""

    def __init__(self, first_frame: np.ndarray, grid: int = 96) -> None:
        self._grid = grid
        self._shown = np.zeros(first_frame.shape, dtype=bool)

    def reach(self, frame: np.ndarray, positions_px: np.ndarray) -> np.ndarray:
        """(N,) confidence at positions (N, 2) over the median confidence of their row; 0 outside of the image's sector,
        1 is usual.
        """
        reduced, factor = reduce_frame(frame, self._grid)
        self._shown |= frame > 0
        sector = self._sector()
        if np.count_nonzero(sector.any(axis=1)) < 3:
            return np.zeros(len(positions_px))
        confidence = confidence_map(reduced, sector)
        usual = np.array(
            [np.median(row[inside]) if inside.any() else 0.0 for row, inside in zip(confidence, sector, strict=True)]
        )
        relative = np.where(sector, confidence / np.maximum(usual, 1e-9)[:, None], 0.0)
        places = (np.asarray(positions_px, dtype=np.float64) + 0.5) / factor - 0.5
        return sample_bilinear(relative, places[:, 0], places[:, 1])

    def _sector(self) -> np.ndarray:
        """The reduced grid's pixels that belong to the image: the largest piece of the pixels ever shown, without
        holes along the columns.
        """
        shown = reduce_frame(self._shown.astype(np.float64), self._grid)[0] > 0.5
        pieces, count = label(shown)
        if count > 1:
            shown = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
        return np.maximum.accumulate(shown, axis=0) & np.maximum.accumulate(shown[::-1], axis=0)[::-1]
