"""Impartial motion: one random affine map of a whole clip, frames and trajectories alike, so that no direction of
motion is preferred.

Azad et al., "Taming Modern Point Tracking for Speckle Tracking Echocardiography via Impartial Motion", Sec. 4.4:
scaling, translation, shear, rotation up to 120 degrees either way, horizontal and vertical flips, each with a
probability of one half, constant within a clip. The ranges of scaling, translation and shear are not in the paper;
`MotionRanges` has ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class MotionRanges:
    """The ranges of the affine maps.

    Attributes:
        probability: of each of the six kinds of map.
        scale: least and greatest factor; uniform in its logarithm.
        translation: greatest shift, as a part of the image's side.
        shear: greatest shear (a tangent) along either axis.
        rotation_deg: greatest rotation either way.
    """

    probability: float = 0.5
    scale: tuple[float, float] = (0.75, 1.35)
    translation: float = 0.1
    shear: float = 0.25
    rotation_deg: float = 120.0


NO_MOTION = MotionRanges(probability=0.0)
"""The baseline of the paper's comparison: clips move as they were acquired."""


def draw_affine(ranges: MotionRanges, size: float, rng: np.random.Generator) -> np.ndarray:
    """Draws a (2, 3) map of pixel positions about the middle of a square image with that side in pixels: new =
    map[:, :2] @ old + map[:, 2].
    """

    def chosen() -> bool:
        return rng.random() < ranges.probability

    linear = np.eye(2)
    if chosen():
        linear = linear * np.exp(rng.uniform(*np.log(ranges.scale)))
    if chosen():
        along_x, along_y = rng.uniform(-ranges.shear, ranges.shear, 2) * (rng.permutation(2) == 0)
        linear = np.array([[1, along_x], [along_y, 1]]) @ linear
    if chosen():
        angle = np.deg2rad(rng.uniform(-ranges.rotation_deg, ranges.rotation_deg))
        linear = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ linear
    if chosen():
        linear = np.diag([-1.0, 1.0]) @ linear
    if chosen():
        linear = np.diag([1.0, -1.0]) @ linear
    shift = rng.uniform(-ranges.translation, ranges.translation, 2) * size if chosen() else np.zeros(2)
    middle = np.full(2, (size - 1) / 2)
    return np.concatenate([linear, (middle + shift - linear @ middle)[:, None]], axis=1)


def move_points(points: Tensor, affine: np.ndarray) -> Tensor:
    """Maps positions (..., 2) by a (2, 3) map."""
    matrix = torch.as_tensor(affine, dtype=points.dtype, device=points.device)
    return points @ matrix[:, :2].T + matrix[:, 2]


def move_frames(frames: Tensor, affine: np.ndarray, size: tuple[int, int]) -> Tensor:
    """Maps frames (T, 1, H, W) by a (2, 3) map of their pixels, to (T, 1, *size); bilinear, 0 outside.

    With the same map, what lies at p in `frames` lies at `move_points(p)` in the result.
    """
    height, width = frames.shape[2:]
    inverse = np.linalg.inv(np.concatenate([affine, [[0, 0, 1]]]))
    to_unit = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])
    from_unit = np.linalg.inv(
        np.array([[2 / size[1], 0, 1 / size[1] - 1], [0, 2 / size[0], 1 / size[0] - 1], [0, 0, 1]])
    )
    theta = torch.as_tensor((to_unit @ inverse @ from_unit)[:2], dtype=frames.dtype, device=frames.device)
    grid = F.affine_grid(theta[None], [1, 1, *size], align_corners=False)
    # All frames share the map: as channels of one image they share its interpolation weights.
    return F.grid_sample(
        frames.transpose(0, 1), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    ).transpose(0, 1)
