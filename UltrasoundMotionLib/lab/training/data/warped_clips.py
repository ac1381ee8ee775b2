"""Training clips of single real frames: their texture warped by analytic beating or breathing motion, with exact
trajectories.

The warp moves the real texture of a scanner but does not change its speckle, as moving tissue does; for that,
`image_augmentation.fresh_speckle` replaces a part of the contrast in every frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.errors import InputError

SIDE = 256
_WAVES = 6
_SOLVER_STEPS = 25


@dataclass(frozen=True)
class RealFrame:
    """A grey frame (H, W) uint8 whose texture is warped, with its origin."""

    pixels: np.ndarray
    name: str


def read_real_frames(paths: Sequence[Path | str], *, every: int = 1) -> tuple[RealFrame, ...]:
    """Reads every `every`-th frame of sequences. The user is responsible for their licences, and that none of them is
    evaluated on.

    Raises:
        InputError: a file cannot be read.
    """
    from UltrasoundMotionLib.images import read_sequence

    frames = []
    for path in paths:
        sequence = read_sequence(path)
        for index in range(0, len(sequence), every):
            pixels = np.asarray(sequence.frame(index), dtype=np.float64)
            low, high = pixels.min(), max(np.percentile(pixels, 99.9), pixels.min() + 1)
            frames.append(
                RealFrame(
                    np.clip(255 * (pixels - low) / (high - low), 0, 255).astype(np.uint8),
                    f"{Path(path).name} frame {index}",
                )
            )
    return tuple(frames)


@dataclass(frozen=True)
class SmoothMotion:
    """A displacement of the unit square in closed form, at T times.

    u(y, t) = a(t) (M (y - c) + sum_k w_k sin(f_k . y + p_k)) + s(t)

    Attributes:
        times: (T,) t, in cycles, rising.
        activation: (T,) a.
        shift: (T, 2) s.
        matrix: (2, 2) M.
        centre: (2,) c.
        waves: (K, 2) w; frequencies (K, 2) f; phases (K,) p.
    """

    times: np.ndarray
    activation: np.ndarray
    shift: np.ndarray
    matrix: np.ndarray
    centre: np.ndarray
    waves: np.ndarray
    frequencies: np.ndarray
    phases: np.ndarray

    def at(self, places: Tensor) -> Tensor:
        """Returns the displacement (T, N, 2) at places (T, N, 2) or (1, N, 2)."""

        def like(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values, dtype=places.dtype, device=places.device)

        steady = (places - like(self.centre)) @ like(self.matrix).T
        steady = steady + torch.sin(places @ like(self.frequencies).T + like(self.phases)) @ like(self.waves)
        return like(self.activation)[:, None, None] * steady + like(self.shift)[:, None]


def draw_motion(frame_count: int, rng: np.random.Generator, *, regular_times: bool = False) -> SmoothMotion:
    """Draws a beat (fast contraction, slower relaxation) or a breath (sin^4, Lujan et al. 1999), at increasing times
    over one and a half cycles; `regular_times` takes even times over half a cycle to one and a half.
    """
    even = np.linspace(0, rng.uniform(0.5, 1.5), frame_count) if regular_times else None
    time = (np.sort(rng.uniform(0, 1.5, frame_count)) if even is None else even) + rng.random()
    phase = np.mod(time, 1.0)
    if rng.random() < 0.5:
        systole = rng.uniform(0.3, 0.45)
        late = np.clip((phase - systole) / (1 - systole), 0, 1)
        activation = np.where(
            phase < systole,
            np.sin(np.pi / 2 * phase / systole) ** 2,
            np.cos(np.pi / 2 * late ** rng.uniform(0.5, 1.0)) ** 2,
        )
    else:
        activation = np.sin(np.pi * phase) ** 4
    direction = rng.uniform(0, 2 * np.pi)
    way = rng.uniform(0, 0.12) * np.array([np.cos(direction), np.sin(direction)])
    frequencies = rng.normal(0, 1, (_WAVES, 2)) * rng.uniform(4, 14)
    # Sizes keep the derivative of the displacement under about a half, so that the map has an inverse.
    waves = (
        rng.normal(0, 1, (_WAVES, 2))
        * rng.uniform(0, 0.1)
        / np.maximum(np.linalg.norm(frequencies, axis=1, keepdims=True), 1)
    )
    return SmoothMotion(
        time,
        activation,
        activation[:, None] * way + 0.01 * rng.standard_normal(2) * time[:, None],
        rng.uniform(-0.15, 0.15, (2, 2)),
        rng.uniform(0.2, 0.8, 2),
        waves,
        frequencies,
        rng.uniform(0, 2 * np.pi, _WAVES),
    )


def warped_clip(
    frame: RealFrame,
    frame_count: int,
    point_count: int,
    rng: np.random.Generator,
    device: torch.device,
    *,
    regular_times: bool = False,
) -> tuple[Tensor, Tensor]:
    """Warps a square part of a frame; `regular_times`: see `draw_motion`.

    Returns:
        frames: (T, 1, 256, 256) of 0 to 1; frame t at y shows the texture at y + u(y, t).
        points: (T, N, 2) exact places in pixels of points of the texture that are bright enough to be followed.

    Raises:
        InputError: the frame is blank.
    """
    height, width = frame.pixels.shape
    side = int(rng.uniform(0.55, 1.0) * min(height, width))
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    texture = (
        torch.as_tensor(frame.pixels[top : top + side, left : left + side], device=device).float()[None, None] / 255
    )
    texture = F.interpolate(texture, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
    motion = draw_motion(frame_count, rng, regular_times=regular_times)
    y, x = torch.meshgrid(*[(torch.arange(SIDE, device=device) + 0.5) / SIDE] * 2, indexing="ij")
    places = torch.stack([x, y], dim=-1).view(1, -1, 2)
    seen = (places + motion.at(places)).view(frame_count, SIDE, SIDE, 2)
    frames = F.grid_sample(
        texture.expand(frame_count, -1, -1, -1),
        2 * seen - 1,
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )
    bright = F.avg_pool2d(texture, 9, 1, 4)[0, 0].flatten() > 0.08
    candidates = torch.nonzero(bright)[:, 0].cpu().numpy()
    if len(candidates) == 0:
        raise InputError(f"{frame.name}: no part of it is bright")
    chosen = rng.choice(candidates, point_count)
    places_px = np.stack([chosen % SIDE, chosen // SIDE], axis=1) + rng.uniform(0, 1, (point_count, 2))
    material = torch.as_tensor(places_px / SIDE, dtype=torch.float32, device=device)[None]
    found = material.expand(frame_count, -1, -1)
    for _ in range(_SOLVER_STEPS):  # y = p - u(y, t): a contraction
        found = material - motion.at(found)
    return frames, found * SIDE - 0.5
