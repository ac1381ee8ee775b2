"""Coarse dense motion from the query frame to each frame, as a second opinion that does not drift.

Gauss-Newton on the whole image at once, at about 64 pixels: the patches of Lucas-Kanade are Gaussian windows around
every pixel, and the motion is smoothed by its certainty after each step. Gradients and their products are the query
frame's (inverse compositional), so that a step costs a few filters, and a Gaussian filter of so small an image is two
products with a matrix. Each frame begins with the motion of the one before.
"""

from __future__ import annotations

import numpy as np

_SIZE = 72
"""Greatest longer side of the small image."""
_WINDOW, _SMOOTHING, _BRIGHTNESS = 3.0, 2.5, 4.0
"""Standard deviations, in its pixels, of a patch, of the smoothing of motion, and of what is taken for brightness."""
_DAMPING = 0.03
_ITERATIONS = 4
_LONGEST_STEP = 1.5
_NEARLY_NOTHING = 1e-3
"""Grey levels below this are 0, and motion is kept above 1e-9, since arithmetic with denormal numbers is slow."""


class QueryFlow:
    """Motion from the query frame to the last one given.

    Args:
        image: (H, W) of the query frame.
    """

    def __init__(self, image: np.ndarray) -> None:
        self._factor = max(1, -(-max(image.shape) // _SIZE))
        small = self._reduced(image)
        height, width = small.shape
        self._patch, self._smooth, self._local = (
            _Gaussian(small.shape, sigma) for sigma in (_WINDOW, _SMOOTHING, _BRIGHTNESS)
        )
        self._columns, self._rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
        self._query = self._normalised(small)
        along_y, along_x = np.gradient(self._query)
        self._gradient = np.stack((along_x, along_y))
        xx, xy, yy = self._patch(np.stack((along_x * along_x, along_x * along_y, along_y * along_y)))
        self._certainty = (xx * yy - xy * xy) / (xx + yy + 1e-6) + 1e-4
        self._norm = 1 / self._smooth(self._certainty)
        xx, yy = xx + _DAMPING, yy + _DAMPING
        self._inverse = np.stack((yy, -xy, xx)) / (xx * yy - xy * xy)
        self._motion: np.ndarray = np.zeros((2, height, width), dtype=np.float32)

    def update(self, image: np.ndarray) -> None:
        """Finds the motion to the next frame (H, W)."""
        current = self._normalised(self._reduced(image))
        motion = self._motion
        for _ in range(_ITERATIONS):
            difference = _sampled(current, self._columns + motion[0], self._rows + motion[1]) - self._query
            along_x, along_y = self._patch(self._gradient * difference)
            xx, xy, yy = self._inverse
            step = np.stack((xx * along_x + xy * along_y, xy * along_x + yy * along_y))
            motion = motion - np.minimum(np.maximum(step, -_LONGEST_STEP), _LONGEST_STEP)
            motion = self._smooth(motion * self._certainty) * self._norm + np.float32(1e-9)
        self._motion = motion

    def displacement(self, points: np.ndarray) -> np.ndarray:
        """Returns the displacement (N, 2) in px of points (N, 2) px of the query frame."""
        x, y = ((points + 0.5) / self._factor - 0.5).T
        along_x, along_y = (_sampled(one, x, y) for one in self._motion)
        return np.stack((along_x, along_y), axis=1) * self._factor

    def _reduced(self, image: np.ndarray) -> np.ndarray:
        """Returns means over squares of an image; its last rows and columns are repeated to fill the last squares."""
        factor = self._factor
        below, right = (-size % factor for size in image.shape)
        filled = np.pad(image, ((0, below), (0, right)), mode="edge") if below or right else image
        rows, columns = (size // factor for size in filled.shape)
        return filled.reshape(rows, factor, columns, factor).mean(axis=(1, 3), dtype=np.float32)

    def _normalised(self, small: np.ndarray) -> np.ndarray:
        """Returns a small image without its brightness and contrast, so that gain and shadows do not pull."""
        detail = small - self._local(small)
        power = self._local(detail * detail)
        normalised = detail / np.sqrt(power + _DAMPING * power.mean() + 1e-6)
        normalised[np.abs(normalised) < _NEARLY_NOTHING] = 0
        return normalised


class _Gaussian:
    """Gaussian filter of images (..., H, W) of one size, as products with two matrices."""

    def __init__(self, shape: tuple[int, ...], sigma: float) -> None:
        self._left, self._right = _kernel_matrix(shape[0], sigma), _kernel_matrix(shape[1], sigma).T.copy()

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self._left @ images @ self._right


def _kernel_matrix(size: int, sigma: float) -> np.ndarray:
    """Returns the (size, size) matrix whose rows are kernels that sum to 1 within the image."""
    places = np.arange(size)
    kernels = np.exp(-0.5 * ((places[:, None] - places) / sigma) ** 2)
    kernels[kernels < 1e-4] = 0
    return (kernels / kernels.sum(axis=1, keepdims=True)).astype(np.float32)


def _sampled(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns an image's bilinear values at x and y; beyond the border the border's."""
    height, width = image.shape
    x, y = (np.clip(place, 0, size - 1.001) for place, size in ((x, width), (y, height)))
    column, row = np.floor(x), np.floor(y)
    right, low = x - column, y - row  # of the type of x: float32 is twice as quick
    first, flat = (row * width + column).astype(np.intp), image.reshape(-1)
    upper, lower = flat.take(first), flat.take(first + width)
    upper = upper + right * (flat.take(first + 1) - upper)
    lower = lower + right * (flat.take(first + width + 1) - lower)
    return upper + low * (lower - upper)
