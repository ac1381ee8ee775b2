"""A simulated sequence of any length that takes no memory, for measuring speed and memory."""

from __future__ import annotations

import numpy as np

REACH_PX = 8


class SwayingSpeckle:
    """A frame source: one texture of smoothed noise that sways along a closed path, each frame cut out when it is asked
    for.

    Attributes:
        shape: (T, H, W) with H = W = `size_px`.
        dtype: uint8.
    """

    def __init__(self, frame_count: int, size_px: int, seed: int = 0) -> None:
        from scipy.ndimage import gaussian_filter

        self.shape = (frame_count, size_px, size_px)
        self.dtype = np.dtype(np.uint8)
        texture = gaussian_filter(np.random.default_rng(seed).normal(size=(size_px + 2 * REACH_PX,) * 2), 2.0)
        self._texture = np.rint(255 * (texture - texture.min()) / np.ptp(texture)).astype(np.uint8)

    def shift_px(self, index: int) -> tuple[int, int]:
        """Returns the shift of frame `index` from the texture's own place, (x, y) in whole pixels."""
        phase = 2 * np.pi * index / 100
        return round(0.75 * REACH_PX * np.sin(phase)), round(0.75 * REACH_PX * np.sin(2 * phase))

    def __getitem__(self, index: int) -> np.ndarray:
        x, y = self.shift_px(index)
        left, top, size = REACH_PX - x, REACH_PX - y, self.shape[1]
        return self._texture[top : top + size, left : left + size].copy()
