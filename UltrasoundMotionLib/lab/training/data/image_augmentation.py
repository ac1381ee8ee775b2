"""Augmentation of the intensities of clips: blur, sharpening, grey maps, compression, noise, shadows, fresh speckle.

Azad et al., Sec. 4.4: motion blur, sharpening, embossing, brightness and contrast, hue and saturation (frames here are
grey), compression and noise, each with a probability under one half. Gamma, shadows and fresh speckle are added here,
as effects of ultrasound itself. Frames are (T, 1, H, W), about 0 to 1, on any device. Random numbers for parameters
come from NumPy's generator, those for pixels from PyTorch's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

HIDDEN_FACTOR = 0.35  # 9 dB, from which on `simulation` counts a point as hidden

# ITU T.81, table K.1: JPEG's luminance quantisation at quality 50.
_JPEG = (
    16, 11, 10, 16, 24, 40, 51, 61,
    12, 12, 14, 19, 26, 58, 60, 55,
    14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62,
    18, 22, 37, 56, 68, 109, 103, 77,
    24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)  # fmt: skip


@dataclass(frozen=True)
class ImageProbabilities:
    """The probability of each change of a clip; the paper has under 0.5 for each of its own."""

    blur: float = 0.2
    sharpen: float = 0.15
    emboss: float = 0.1
    brightness_contrast: float = 0.4
    gamma: float = 0.3
    compression: float = 0.15
    noise: float = 0.3
    shadow: float = 0.3
    fresh_speckle: float = 0.3


PUBLISHED_IMAGES = ImageProbabilities(gamma=0.0, shadow=0.0, fresh_speckle=0.0)


def change_frames(
    frames: Tensor,
    points: Tensor,
    probabilities: ImageProbabilities,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Returns the changed frames (T, 1, H, W) and (T, N) bool, True where a new shadow hides a point of (T, N, 2)."""
    hidden = torch.zeros(points.shape[:2], dtype=torch.bool, device=points.device)
    if rng.random() < probabilities.fresh_speckle:
        frames = fresh_speckle(frames, rng.uniform(0.1, 0.6), rng, generator)
    if rng.random() < probabilities.shadow:
        frames, hidden = shadow(frames, points, rng)
    if rng.random() < probabilities.blur:
        frames = _some_frames(frames, F.conv2d(frames, _line_kernel(rng, frames), padding="same"), rng)
    if rng.random() < probabilities.sharpen:
        frames = frames + rng.uniform(0.2, 0.8) * (frames - local_mean(frames, 5))
    if rng.random() < probabilities.emboss:
        angle = rng.uniform(0, 2 * np.pi)
        shift = (round(2 * np.sin(angle)), round(2 * np.cos(angle)))
        frames = frames + rng.uniform(0.1, 0.4) * (frames - torch.roll(frames, shift, dims=(2, 3)))
    if rng.random() < probabilities.gamma:
        frames = frames.clamp(min=0) ** float(np.exp(rng.uniform(-0.4, 0.4)))
    if rng.random() < probabilities.brightness_contrast:
        count = len(frames)
        contrast = np.exp(rng.uniform(-0.3, 0.3) + 0.08 * rng.standard_normal(count))
        brightness = rng.uniform(-0.1, 0.1) + 0.03 * rng.standard_normal(count)
        frames = frames * _per_frame(contrast, frames) + _per_frame(brightness, frames)
    if rng.random() < probabilities.noise:
        frames = frames + rng.uniform(0.01, 0.08) * _normal(frames.shape, frames, generator)
    if rng.random() < probabilities.compression:
        frames = compress(frames, rng.uniform(0.3, 2.0))
    return frames.clamp(0, 1.5), hidden


def fresh_speckle(frames: Tensor, part: float, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    """Replaces `part` of the contrast of every frame by speckle that is new in each: local mean brightness times a
    Rayleigh field of mean 1.
    """
    grain = rng.uniform(0.5, 1.5), rng.uniform(0.8, 2.5)  # along the beam, and across it
    parts = [_normal(frames.shape, frames, generator) for _ in range(2)]
    waves = [_gauss(_gauss(values, grain[0], 2), grain[1], 3) for values in parts]
    rayleigh = torch.sqrt(waves[0] ** 2 + waves[1] ** 2)
    rayleigh = rayleigh / rayleigh.mean()
    brightness = local_mean(frames)
    return (1 - part) * frames + part * brightness * rayleigh


def local_mean(frames: Tensor, side: int = 9) -> Tensor:
    """Returns the mean of each pixel's neighbourhood of `side` x `side`, inside of the frame."""
    rows = F.avg_pool2d(frames, (side, 1), 1, (side // 2, 0), count_include_pad=False)
    return F.avg_pool2d(rows, (1, side), 1, (0, side // 2), count_include_pad=False)


def shadow(frames: Tensor, points: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Adds a dark band across the image that sweeps from frame to frame; returns the frames and (T, N) bool, True where
    it hides a point.
    """
    count, (height, width) = len(frames), frames.shape[2:]
    angle = rng.uniform(0, np.pi)
    normal = np.array([np.cos(angle), np.sin(angle)])
    size = max(height, width)
    offset = rng.uniform(0.2, 0.8) * size + 0.1 * size * np.sin(rng.uniform(0, 2 * np.pi, count))
    offset = offset - size / 2 + normal @ np.array([(width - 1) / 2, (height - 1) / 2])
    half_width, edge = rng.uniform(0.02, 0.1) * size, 0.012 * size
    least = 10 ** (-rng.uniform(6, 26) / 20)
    middle = _per_frame(offset, frames)

    def factor(distance: Tensor) -> Tensor:
        return 1 - (1 - least) * torch.sigmoid((half_width - distance.abs()) / edge)

    x = torch.arange(width, device=frames.device, dtype=frames.dtype)
    y = torch.arange(height, device=frames.device, dtype=frames.dtype)[:, None]
    at_points = points @ torch.as_tensor(normal, dtype=points.dtype, device=points.device)
    return frames * factor(x * normal[0] + y * normal[1] - middle), factor(
        at_points - middle[:, 0, 0].to(points.dtype)
    ) < HIDDEN_FACTOR


def compress(frames: Tensor, strength: float) -> Tensor:
    """Quantises the cosine transform of blocks of 8 x 8, as JPEG does at quality 50 (`strength` 1), for grey values of
    0 to 1.
    """
    height, width = frames.shape[2:]
    padded = F.pad(frames, (0, -width % 8, 0, -height % 8), mode="replicate")
    index = torch.arange(8, device=frames.device, dtype=frames.dtype)
    cosine = torch.cos((2 * index + 1) * index[:, None] * (torch.pi / 16)) / 2
    cosine[0] /= np.sqrt(2)
    blocks = padded.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)
    step = torch.tensor(_JPEG, device=frames.device, dtype=frames.dtype).view(8, 8) * (strength / 255)
    blocks = cosine.T @ (torch.round(cosine @ blocks @ cosine.T / step) * step) @ cosine
    return blocks.transpose(3, 4).flatten(4, 5).flatten(2, 3)[:, :, :height, :width]


def _some_frames(frames: Tensor, changed: Tensor, rng: np.random.Generator) -> Tensor:
    chosen = torch.as_tensor(rng.random(len(frames)) < 0.5, device=frames.device)
    return torch.where(chosen[:, None, None, None], changed, frames)


def _line_kernel(rng: np.random.Generator, like: Tensor) -> Tensor:
    """Draws a kernel (1, 1, 9, 9): a soft line of random direction and length."""
    angle, half = rng.uniform(0, np.pi), rng.uniform(1, 4)
    y, x = np.mgrid[-4:5, -4:5]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    kernel = np.exp(-0.5 * (across / 0.6) ** 2) * (np.abs(along) <= half)
    return torch.as_tensor(kernel / kernel.sum(), dtype=like.dtype, device=like.device)[None, None]


def _gauss(values: Tensor, sigma: float, dimension: int) -> Tensor:
    reach = int(np.ceil(2.5 * sigma))
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=values.device, dtype=values.dtype) / sigma) ** 2)
    return F.conv2d(
        values, (kernel / kernel.sum()).view(1, 1, *((-1, 1) if dimension == 2 else (1, -1))), padding="same"
    )


def _per_frame(numbers: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(numbers, dtype=like.dtype, device=like.device)[:, None, None, None]


def _normal(shape: torch.Size, like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=like.dtype, device=like.device)
