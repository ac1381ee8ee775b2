"""Gaussian image pyramids and patches sampled from them at fractional positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ImagePyramid:
    """Levels (H_l, W_l) float32, finest first; level l has pixels 2**l times as large.

    A point (x, y) of the frame lies at (x + 0.5) / 2**l - 0.5 on level l.
    """

    levels: tuple[np.ndarray, ...]


def _kernel(sigma: float) -> np.ndarray:
    """Returns the upper half of a Gaussian kernel, its middle first; the whole kernel sums to 1."""
    radius = max(1, int(2.5 * sigma + 0.5))
    half = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    return (half / (2 * half.sum() - half[0])).astype(np.float32)


def _padded(image: np.ndarray, before: int, after: int, axis: int) -> np.ndarray:
    """Returns an image whose border goes on for so many pixels at both ends of an axis."""
    shape = list(image.shape)
    shape[axis] += before + after
    padded = np.empty(shape, dtype=np.float32)
    along = padded if axis == 0 else padded.T
    image = image if axis == 0 else image.T
    along[before : before + len(image)] = image
    along[:before] = image[0]
    along[before + len(image) :] = image[-1]
    return padded


def _blurred(image: np.ndarray, half: np.ndarray, axis: int) -> np.ndarray:
    """Filters an image along an axis with a symmetric kernel, of which `half` begins with the middle."""
    radius = len(half) - 1
    padded = _padded(image, radius, radius, axis)
    # Images as one line, in which neighbours along the axis lie `step` apart: sums of lines are quick. Beyond the end
    # of a row lies the next one; that concerns pixels of the padding only.
    step = padded.shape[1] if axis == 0 else 1
    line, count = padded.reshape(-1), padded.size - 2 * radius * step
    total = np.empty(padded.size, dtype=np.float32)
    used = total[:count]
    np.multiply(line[radius * step : radius * step + count], half[0], out=used)
    for distance in range(1, radius + 1):
        before, behind = (radius - distance) * step, (radius + distance) * step
        pair = line[before : before + count] + line[behind : behind + count]
        pair *= half[distance]
        used += pair
    return total.reshape(padded.shape)[: image.shape[0], : image.shape[1]]


def _halved(image: np.ndarray, axis: int) -> np.ndarray:
    """Blurs an image along an axis with `_HALVING` and averages pairs of pixels, in one filter of six taps; a last
    single pixel is only blurred.
    """
    size = image.shape[axis]
    single = size % 2
    padded = _padded(image, 2, 2 + single, axis)
    every = [(slice(first, None, 2), slice(None))[:: 1 - 2 * axis] for first in (0, 1)]
    even, odd = (np.ascontiguousarray(padded[place]) for place in every)
    step = even.shape[1] if axis == 0 else 1
    first, second, count = even.reshape(-1), odd.reshape(-1), even.size - 2 * step
    total = np.empty(even.size, dtype=np.float32)
    used = total[:count]
    np.add(first[step : step + count], second[step : step + count], out=used)
    used *= 0.5 * (_HALVING[0] + _HALVING[1])
    for outer, inner, weight in ((second, first, _HALVING[1] + _HALVING[2]), (first, second, _HALVING[2])):
        pair = outer[:count] + inner[2 * step : 2 * step + count]
        pair *= 0.5 * weight
        used += pair
    shape = [image.shape[0], image.shape[1]]
    shape[axis] = (size + 1) // 2
    halved = total.reshape(even.shape)[: shape[0], : shape[1]]
    if single:
        last = np.moveaxis(padded, axis, 0)[size - 1 : size + 4]
        whole = np.concatenate((_HALVING[:0:-1], _HALVING))
        np.moveaxis(halved, axis, 0)[-1] = np.tensordot(whole, last, axes=1)
    return halved


_HALVING = _kernel(0.8)


def build_pyramid(frame: np.ndarray, level_count: int, sigma: float) -> ImagePyramid:
    """Builds the pyramid of a frame (H, W) float32; the finest level is blurred by `sigma` pixels (0: not at all)
    against pixel noise.
    """
    image = frame
    if sigma > 0:
        half = _kernel(sigma)
        image = _blurred(_blurred(image, half, 0), half, 1)
    levels = [np.ascontiguousarray(image)]
    for _ in range(level_count - 1):
        levels.append(np.ascontiguousarray(_halved(_halved(levels[-1], 0), 1)))
    return ImagePyramid(tuple(levels))


def level_count_for(height: int, width: int, smallest: int = 24, most: int = 6) -> int:
    """Returns the number of levels that leaves the coarsest with at least `smallest` pixels on its shorter side."""
    count = 1
    while count < most and min(height, width) / 2**count >= smallest:
        count += 1
    return count


def to_level(points: np.ndarray, level: int) -> np.ndarray:
    """Points (N, 2) of the frame in pixels of `level`."""
    return (points + 0.5) / 2**level - 0.5


def window_profile(radius: int) -> np.ndarray:
    """(2 radius + 1,) weights along one axis of a patch: a Gaussian that has fallen to 0.6 at two thirds of the radius;
    sums to 1.
    """
    offsets = np.arange(-radius, radius + 1)
    profile = np.exp(-0.5 * (offsets / (radius / 1.5)) ** 2)
    return profile / profile.sum()


class WindowGather:
    """Gathers square windows of whole pixels around many points at once; beyond the border the nearest pixel counts.

    A window is a line: its rows one after the other.

    Args:
        before, after: pixels that it reaches to the left and above, and to the right and below.
    """

    def __init__(self, before: int, after: int) -> None:
        self._before, self._after = before, after
        self.side = before + 1 + after
        rows, columns = np.indices((self.side, self.side)) - before
        self._rows, self._columns = rows.ravel(), columns.ravel()

    def gather(self, image: np.ndarray, pixels: np.ndarray) -> np.ndarray:
        """Windows (N, side^2) of `image` (H, W) around `pixels` (N, 2)."""
        height, width = image.shape
        x, y = pixels[:, :1], pixels[:, 1:]
        places = (y * width + x) + (self._rows * width + self._columns)
        least, last = self._before, self._after
        beyond = ((x < least) | (y < least) | (x >= width - last) | (y >= height - last))[:, 0]
        if beyond.any():
            rows = np.minimum(np.maximum(y[beyond] + self._rows, 0), height - 1)
            columns = np.minimum(np.maximum(x[beyond] + self._columns, 0), width - 1)
            places[beyond] = rows * width + columns
        return image.reshape(-1).take(places, mode="clip")


class PatchSampler:
    """Samples square patches around many points at once, bilinearly.

    All pixels of a patch share the fractional part of its centre, so a patch costs one gather and four weighted sums.
    Outside the image the nearest pixel continues.
    """

    def __init__(self, radius: int) -> None:
        self.radius = radius
        self.size = 2 * radius + 1
        self._windows = WindowGather(radius, radius + 1)

    def sample(self, image: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Patches (N, size, size) of `image` (H, W) around `centres` (N, 2)."""
        floor = np.floor(centres)
        fraction = (centres - floor).astype(np.float32)[:, :, None]
        lines = self._windows.gather(image, floor.astype(np.intp))
        # Sums of long lines are quicker than of many short rows. The last sample of each row, which mixes the ends of
        # two, is cut off.
        side = self.size + 1
        upper = lines[:, :-side]
        lower = lines[:, side:] - upper
        lower *= fraction[:, 1]
        lower += upper
        patch = np.empty_like(lower)
        np.subtract(lower[:, 1:], lower[:, :-1], out=patch[:, :-1])
        patch[:, -1] = 0
        patch *= fraction[:, 0]
        patch += lower
        return patch.reshape(-1, self.size, side)[:, :, :-1]
