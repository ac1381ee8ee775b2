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


def _padded(image: np.ndarray, radius: int) -> np.ndarray:
    """Returns an image with `radius` more rows on both ends, equal to its border."""
    return np.concatenate((image[:1],) * radius + (image,) + (image[-1:],) * radius)


def _symmetric_sum(padded: np.ndarray, half: np.ndarray, radius: int, *, step: int = 1, middle: int = 1) -> np.ndarray:
    """Filters rows with a symmetric kernel given by its half, whose middle is one tap (`middle` 1) or two (0), and
    keeps every `step`-th row.
    """
    count = len(padded) - 2 * radius - (1 - middle)
    total: np.ndarray | None = None
    for distance, weight in enumerate(half):
        first = padded[radius - distance :: step][: -(-count // step)]
        if middle and distance == 0:
            total = first * weight
            continue
        pair = first + padded[radius + distance + 1 - middle :: step][: -(-count // step)]
        pair *= weight
        total = pair if total is None else np.add(total, pair, out=total)
    assert total is not None, "a kernel has taps"
    return total


def _blurred_rows(image: np.ndarray, half: np.ndarray) -> np.ndarray:
    radius = len(half) - 1
    return _symmetric_sum(_padded(image, radius), half, radius)


def _halved_rows(image: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Blurs rows and averages pairs of them, in one filter; a last single row is only blurred."""
    radius = len(half) - 1
    padded = _padded(image, radius)
    pairs = 0.5 * (half + np.append(half[1:], np.float32(0)))
    halved = _symmetric_sum(padded, pairs.astype(np.float32), radius, step=2, middle=0)
    if len(image) % 2 == 0:
        return halved
    return np.concatenate((halved, _symmetric_sum(padded[-2 * radius - 1 :], half, radius)))


_HALVING = _kernel(0.8)


def build_pyramid(frame: np.ndarray, level_count: int, sigma: float) -> ImagePyramid:
    """Builds the pyramid of a frame (H, W) float32; the finest level is blurred by `sigma` pixels (0: not at all)
    against pixel noise.
    """
    image = frame
    if sigma > 0:
        half = _kernel(sigma)
        image = _blurred_rows(_blurred_rows(image, half).T, half).T
    levels = [np.ascontiguousarray(image)]
    for _ in range(level_count - 1):
        levels.append(np.ascontiguousarray(_halved_rows(_halved_rows(levels[-1], _HALVING).T, _HALVING).T))
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


def windows_at(image: np.ndarray, base: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Gathers the pixels (N, S, S) of `image` (H, W) at whole `base` (N, 2) plus `offsets` (S,) in x and y; beyond the
    border the nearest pixel.
    """
    height, width = image.shape
    columns = np.minimum(np.maximum(base[:, :1] + offsets, 0), width - 1)
    rows = np.minimum(np.maximum(base[:, 1:] + offsets, 0), height - 1)
    rows *= width
    return image.reshape(-1).take(rows[:, :, None] + columns[:, None, :])


class PatchSampler:
    """Samples square patches around many points at once, bilinearly.

    All pixels of a patch share the fractional part of its centre, so a patch costs one gather and four weighted sums.
    Outside the image the nearest pixel continues.
    """

    def __init__(self, radius: int) -> None:
        self.radius = radius
        self.size = 2 * radius + 1
        self._offsets = np.arange(-radius, radius + 2)

    def sample(self, image: np.ndarray, centres: np.ndarray) -> np.ndarray:
        """Patches (N, size, size) of `image` (H, W) around `centres` (N, 2)."""
        floor = np.floor(centres)
        fraction = (centres - floor).astype(np.float32)[:, :, None]
        window = windows_at(image, floor.astype(np.intp), self._offsets)
        # Rows as one line each, a whole window without gaps: sums of long lines are quicker. Their last columns, which
        # mix the ends of neighbouring rows, are cut off.
        size = self.size + 1
        lines = window.reshape(len(window), size * size)
        lines = lines[:, :-size] + (lines[:, size:] - lines[:, :-size]) * fraction[:, 1]
        patch = np.empty_like(lines)
        np.subtract(lines[:, 1:], lines[:, :-1], out=patch[:, :-1])
        patch[:, :-1] *= fraction[:, 0]
        patch[:, :-1] += lines[:, :-1]
        return patch.reshape(-1, self.size, size)[:, :, :-1]
