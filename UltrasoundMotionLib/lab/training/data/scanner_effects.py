"""Effects of scanners, probes and displays on clips: composable changes, each with parameters drawn for the clip.

Every effect is a function of frames (T, 1, H, W) of about 0 to 1 and points (T, N, 2) in their pixels; it returns the
changed frames and (T, N) bool, True where it hides a point. Random numbers for parameters come from NumPy's generator,
those for pixels from PyTorch's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.lab.training.data.image_augmentation import HIDDEN_FACTOR, local_mean

Effect = Callable[[Tensor, Tensor, np.random.Generator, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class EffectProbabilities:
    """Probability of each effect of this module, by its name, in the order in which they are applied."""

    coarse_speckle: float = 0.0
    out_of_plane: float = 0.0
    dropout: float = 0.0
    clutter: float = 0.0
    gain_curve: float = 0.0
    persistence: float = 0.0
    smoothing: float = 0.0
    grey_curve: float = 0.0
    window: float = 0.0
    graphics: float = 0.0
    cut: float = 0.0


NO_EFFECTS = EffectProbabilities()
WIDE_EFFECTS = EffectProbabilities(
    coarse_speckle=0.15,
    out_of_plane=0.2,
    dropout=0.25,
    clutter=0.3,
    gain_curve=0.3,
    persistence=0.15,
    smoothing=0.25,
    grey_curve=0.35,
    window=0.15,
    graphics=0.1,
    cut=0.02,
)


def apply_effects(
    frames: Tensor,
    points: Tensor,
    probabilities: EffectProbabilities,
    rng: np.random.Generator,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Applies each effect with its probability; returns the frames and (T, N) bool, True where one hides a point."""
    hidden = torch.zeros(points.shape[:2], dtype=torch.bool, device=points.device)
    for one in fields(probabilities):
        if rng.random() < getattr(probabilities, one.name):
            frames, covered = EFFECTS[one.name](frames, points, rng, generator)
            hidden = hidden | covered
    return frames.clamp(0, 1.5), hidden


def _coarse_speckle(
    frames: Tensor, points: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Reduces the resolution, along one axis or both."""
    height, width = frames.shape[2:]
    size = [max(16, round(side / rng.uniform(1.0, 3.0))) for side in (height, width)]
    small = F.interpolate(frames, size, mode="bilinear", align_corners=False, antialias=True)
    return F.interpolate(small, (height, width), mode="bilinear", align_corners=False), _none(points)


def _out_of_plane(
    frames: Tensor, points: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Replaces speckle in a part of the image by other speckle, in some frames more than in others, as where tissue
    leaves the plane; a point counts as hidden where nearly all is replaced.
    """
    part = (rng.uniform(0.2, 1.0) * rng.random(len(frames))).clip(0, 0.95)
    mask = _blobs(frames, rng) * torch.as_tensor(part, dtype=frames.dtype, device=frames.device)[:, None, None, None]
    other = _speckle(frames, rng, generator)
    mean = local_mean(frames)
    return torch.lerp(frames, mean * other, mask), _at(mask, points) > 0.8


def _dropout(
    frames: Tensor, points: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Darkens one or two discs that move with the tissue or stay with the probe, more or less in each frame."""
    factor = torch.ones_like(frames)
    size = max(frames.shape[2:])
    for _ in range(int(rng.integers(1, 3))):
        if points.shape[1] and rng.random() < 0.6:
            centre = points[:, int(rng.integers(points.shape[1]))]
        else:
            centre = torch.as_tensor(rng.uniform(0, size, (1, 2)), dtype=points.dtype, device=points.device)
            centre = centre.expand(len(frames), 2)
        radius, edge = rng.uniform(0.04, 0.18) * size, rng.uniform(0.01, 0.05) * size
        loss = torch.as_tensor(rng.uniform(0, 30) * rng.random(len(frames)) ** 0.5, device=frames.device)
        y, x = _pixels(frames)
        distance = torch.hypot(x - centre[:, 0, None, None], (y - centre[:, 1, None, None]) * rng.uniform(0.6, 1.6))
        inside = torch.sigmoid((radius - distance) / edge)[:, None]
        factor = factor * 10 ** (-(loss.to(frames.dtype)[:, None, None, None] * inside) / 20)
    return frames * factor, _at(factor, points) < HIDDEN_FACTOR


def _clutter(
    frames: Tensor, points: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Adds speckle that stands still with the probe, in blobs; a point is hidden where it outshines the tissue."""
    still = _speckle(frames[:1], rng, generator) * _blobs(frames, rng) * rng.uniform(0.1, 0.8)
    pulse = torch.as_tensor(1 + rng.uniform(0, 0.3) * rng.standard_normal(len(frames)), device=frames.device)
    still = still * pulse.to(frames.dtype).clamp(min=0)[:, None, None, None]
    tissue = local_mean(frames)
    level = local_mean(still)
    changed = torch.maximum(frames, still) if rng.random() < 0.5 else frames + still
    return changed, _at(level, points) > _at(tissue, points) + 0.02


def _gain_curve(
    frames: Tensor, points: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Multiplies grey values by a smooth curve along a random direction."""
    knots = torch.as_tensor(rng.uniform(0.1, 0.5) * rng.standard_normal(6), dtype=frames.dtype, device=frames.device)
    y, x = _pixels(frames)
    angle = rng.uniform(0, 2 * np.pi)
    along = (x * np.cos(angle) + y * np.sin(angle)) / max(frames.shape[2:])
    along = 2 * (along - along.min()) / (along.max() - along.min()) - 1
    grid = torch.stack([along, torch.zeros_like(along)], dim=-1)[None]
    curve = F.grid_sample(knots.view(1, 1, 1, -1), grid, mode="bilinear", align_corners=True)
    return frames * curve.exp(), _none(points)


def _persistence(
    frames: Tensor, points: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Averages every frame with those before it, with falling weights."""
    kept = rng.uniform(0.05, 0.4)
    averaged = [frames[0]]
    for frame in frames[1:]:
        averaged.append(kept * averaged[-1] + (1 - kept) * frame)
    return torch.stack(averaged), _none(points)


def _smoothing(
    frames: Tensor, points: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blurs all frames alike."""
    for shape in ((-1, 1), (1, -1)):
        sigma = rng.uniform(0.4, 2.2)
        reach = int(np.ceil(2.5 * sigma))
        axis = torch.arange(-reach, reach + 1, dtype=frames.dtype, device=frames.device)
        kernel = torch.exp(-0.5 * (axis / sigma) ** 2)
        frames = F.conv2d(frames, (kernel / kernel.sum()).view(1, 1, *shape), padding="same")
    return frames, _none(points)


def _grey_curve(
    frames: Tensor, points: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Rejects what is dark and bends the rest: another dynamic range or compression."""
    reject = rng.uniform(0, 0.25)
    values = (frames - reject).clamp(min=0) / (1 - reject)
    bend = rng.uniform(-3, 3)
    if abs(bend) < 0.1:
        return values, _none(points)
    return (torch.expm1(bend * values.clamp(max=1.2)) / np.expm1(bend)), _none(points)


def _window(
    frames: Tensor, points: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Blackens all outside of a fixed sector."""
    size = max(frames.shape[2:])
    y, x = _pixels(frames)
    turn = rng.uniform(0, 2 * np.pi)
    middle = torch.tensor(frames.shape[3:] + frames.shape[2:3], dtype=frames.dtype) / 2
    apex = middle.numpy() - rng.uniform(0.5, 1.5) * size / 2 * np.array([np.cos(turn), np.sin(turn)])
    away = torch.hypot(x - apex[0], y - apex[1])
    off = torch.remainder(torch.atan2(y - apex[1], x - apex[0]) - turn + np.pi, 2 * np.pi) - np.pi
    open_ = (off.abs() < np.deg2rad(rng.uniform(28, 60))) & (away < rng.uniform(0.9, 1.8) * size)
    shown = open_.to(frames.dtype)[None, None].expand_as(frames)
    return frames * shown, _at(shown, points) < 0.5


def _graphics(
    frames: Tensor, points: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Draws bright boxes, lines and rows of marks that stand still."""
    height, width = frames.shape[2:]
    drawn = torch.zeros(1, 1, height, width, dtype=frames.dtype, device=frames.device)
    for _ in range(int(rng.integers(1, 6))):
        top, left = int(rng.integers(height - 8)), int(rng.integers(width - 8))
        tall, wide = (int(rng.integers(1, 6)), int(rng.integers(4, width // 3)))[:: int(rng.choice([-1, 1]))]
        drawn[..., top : top + tall, left : left + wide] = 1
        if rng.random() < 0.5:  # marks, as of a ruler or of text
            drawn[..., top : top + tall, left : left + wide : 3] = 0
    shown = drawn.expand_as(frames)
    return torch.lerp(frames, torch.full_like(frames, rng.uniform(0.6, 1.2)), shown), _at(shown, points) > 0.3


def _cut(frames: Tensor, points: Tensor, rng: np.random.Generator, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shows the frames from one on mirrored or turned, as of another view; all points are hidden there."""
    hidden = _none(points)
    if len(frames) < 2:
        return frames, hidden
    first = int(rng.integers(1, len(frames)))
    turned = frames[first:].flip(3) if rng.random() < 0.5 else frames[first:].flip(2)
    hidden[first:] = True
    return torch.cat([frames[:first], turned]), hidden


EFFECTS: dict[str, Effect] = {
    "coarse_speckle": _coarse_speckle,
    "out_of_plane": _out_of_plane,
    "dropout": _dropout,
    "clutter": _clutter,
    "gain_curve": _gain_curve,
    "persistence": _persistence,
    "smoothing": _smoothing,
    "grey_curve": _grey_curve,
    "window": _window,
    "graphics": _graphics,
    "cut": _cut,
}


def _none(points: Tensor) -> Tensor:
    return torch.zeros(points.shape[:2], dtype=torch.bool, device=points.device)


def _pixels(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Returns y (H, 1) and x (1, W) of the pixels."""
    height, width = frames.shape[2:]
    y = torch.arange(height, dtype=frames.dtype, device=frames.device)[:, None]
    return y, torch.arange(width, dtype=frames.dtype, device=frames.device)[None]


def _at(values: Tensor, points: Tensor) -> Tensor:
    """Samples values (T, 1, H, W) at the pixels nearest to points (T, N, 2): (T, N)."""
    height, width = values.shape[2:]
    x = points[..., 0].round().clamp(0, width - 1).long()
    y = points[..., 1].round().clamp(0, height - 1).long()
    return values[:, 0].flatten(1).gather(1, y * width + x)


def _blobs(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Draws a smooth mask (1, 1, H, W) of 0 to 1 that covers a part of the image."""
    coarse = torch.as_tensor(
        rng.standard_normal((1, 1, *rng.integers(3, 8, 2))), dtype=frames.dtype, device=frames.device
    )
    field = F.interpolate(coarse, frames.shape[2:], mode="bicubic", align_corners=True)
    return torch.sigmoid(rng.uniform(3, 12) * (field - rng.uniform(-0.2, 0.8)))


def _speckle(frames: Tensor, rng: np.random.Generator, generator: torch.Generator) -> Tensor:
    """Draws Rayleigh speckle (T, 1, H, W) of mean 1, new in each frame."""
    height, width = frames.shape[2:]
    size = [max(8, round(side / rng.uniform(1.2, 5.0))) for side in (height, width)]
    waves = torch.randn((len(frames), 2, *size), generator=generator, dtype=frames.dtype, device=frames.device)
    rayleigh = F.interpolate(waves, (height, width), mode="bilinear", align_corners=False)
    rayleigh = torch.hypot(rayleigh[:, :1], rayleigh[:, 1:])
    return rayleigh / rayleigh.mean()
