"""Gaussian image pyramids and patches sampled from them at fractional positions."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class ImagePyramid:
    """Levels (H_l, W_l) float32, finest first; level l has pixels 2**l times as large.

    A point (x, y) of the frame lies at (x + 0.5) / 2**l - 0.5 on level l.
    """

    levels: tuple[Tensor, ...]


def _blur(image: Tensor, sigma: float) -> Tensor:
    """(1, 1, H, W) blurred by a Gaussian of `sigma` pixels; the border is replicated."""
    radius = max(1, int(2.5 * sigma + 0.5))
    offsets = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(image, (radius, radius, radius, radius), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


def build_pyramid(frame: Tensor, level_count: int, sigma: float) -> ImagePyramid:
    """Builds the pyramid of a frame (H, W); the finest level is blurred by `sigma` pixels (0: not at all) against pixel
    noise.
    """
    image = frame[None, None]
    if sigma > 0:
        image = _blur(image, sigma)
    levels = [image[0, 0]]
    for _ in range(level_count - 1):
        image = F.avg_pool2d(_blur(image, 0.8), 2, ceil_mode=True, count_include_pad=False)
        levels.append(image[0, 0])
    return ImagePyramid(tuple(level.contiguous() for level in levels))


def level_count_for(height: int, width: int, smallest: int = 24, most: int = 6) -> int:
    """Returns the number of levels that leaves the coarsest with at least `smallest` pixels on its shorter side."""
    count = 1
    while count < most and min(height, width) / 2**count >= smallest:
        count += 1
    return count


def to_level(points: Tensor, level: int) -> Tensor:
    """Points (N, 2) of the frame in pixels of `level`."""
    return (points + 0.5) / 2**level - 0.5


def window_profile(radius: int, device: torch.device) -> Tensor:
    """(2 radius + 1,) weights along one axis of a patch: a Gaussian that has fallen to 0.6 at two thirds of the radius;
    sums to 1.
    """
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32, device=device)
    profile = torch.exp(-0.5 * (offsets / (radius / 1.5)) ** 2)
    return profile / profile.sum()


class PatchSampler:
    """Samples square patches around many points at once, bilinearly.

    All pixels of a patch share the fractional part of its centre, so a patch costs one gather and four weighted sums.
    Outside the image the nearest pixel continues.
    """

    def __init__(self, radius: int, device: torch.device) -> None:
        self.radius = radius
        self.size = 2 * radius + 1
        self._offsets = torch.arange(-radius, radius + 2, device=device)

    def sample(self, image: Tensor, centres: Tensor) -> Tensor:
        """Patches (N, size, size) of `image` (H, W) around `centres` (N, 2)."""
        height, width = image.shape
        base = torch.floor(centres)
        fraction = (centres - base)[:, :, None, None]
        base = base.long()
        columns = (base[:, :1] + self._offsets).clamp_(0, width - 1)
        rows = (base[:, 1:] + self._offsets).clamp_(0, height - 1) * width
        window = image.reshape(-1)[rows[:, :, None] + columns[:, None, :]]
        horizontal = torch.lerp(window[:, :, :-1], window[:, :, 1:], fraction[:, 0])
        return torch.lerp(horizontal[:, :-1], horizontal[:, 1:], fraction[:, 1])
