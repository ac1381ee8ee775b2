"""Gaussian blur and bilinear sampling with NumPy alone, since importing SciPy's takes 0.3 s of a short run."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


def gaussian_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """Returns an image (H, W) blurred by a Gaussian of `sigma` pixels, as `scipy.ndimage.gaussian_filter` does it: cut
    off at 4 sigma, the image reflected at its border. In the image's own floating type, at least float32.
    """
    image = image if image.dtype in (np.float32, np.float64) else image.astype(np.float32)
    rows, columns = (_blur_matrix(size, sigma).astype(image.dtype, copy=False) for size in image.shape)
    return rows @ image @ columns.T


@lru_cache(maxsize=8)
def _blur_matrix(size: int, sigma: float) -> np.ndarray:
    """Returns the blur of one axis as a matrix (size, size) float32; products of matrices are quicker than sums of
    shifted images from a few taps on.
    """
    radius = int(4 * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    places = (np.arange(size)[:, None] + offsets) % (2 * size)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], np.minimum(places, 2 * size - 1 - places)), kernel / kernel.sum())
    return matrix.astype(np.float32)


def sample_bilinear(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the values of an image (H, W) at pixel positions of any shape; beyond the border the border's own."""
    height, width = image.shape
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, low = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1) * width
    along_x, along_y, top, flat = x - left, y - top, top * width, image.reshape(-1)
    upper = flat[top + left] * (1 - along_x) + flat[top + right] * along_x
    return upper * (1 - along_y) + (flat[low + left] * (1 - along_x) + flat[low + right] * along_x) * along_y
