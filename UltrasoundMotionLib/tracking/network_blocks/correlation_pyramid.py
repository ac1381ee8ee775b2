"""Correlation of points' features with the surroundings of their positions at several resolutions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.tracking.network_blocks.feature_sampling import correlate_patches

_PATCH_VALUES = 2**23
"""Largest number of feature values that are gathered around points at once, 32 MB in float32."""


def feature_pyramid(features: Tensor, level_count: int) -> list[Tensor]:
    """Returns feature maps (B, C, H, W) and their halvings by averages of 2 x 2 pixels, channels last in memory."""
    levels = [features.contiguous(memory_format=torch.channels_last)]
    while len(levels) < level_count:
        levels.append(F.avg_pool2d(levels[-1], 2, stride=2))
    return levels


def local_correlations(pyramid: list[Tensor], points: Tensor, templates: Tensor, radius: int) -> Tensor:
    """Correlates templates with the maps around points, at all levels of a pyramid, as PIPs, PIPs++ and EchoTracker do.

    Args:
        pyramid: maps (B, C, H / 2**l, W / 2**l), see `feature_pyramid`.
        points: (B, N, 2), (x, y) in pixels of the finest maps.
        templates: (B, N, K, C), K for each point.
        radius: of the square of whole pixels around a point, at each level.

    Returns:
        (B, N, K, L * P * P): scalar products divided by the root of C, level by level, P = 2 * radius + 1; within a
        level x changes slowest, as these networks were trained with.
    """
    scale = templates.shape[-1] ** -0.5
    found = []
    frames_at_once = max(1, _PATCH_VALUES // (points.shape[1] * (2 * radius + 2) ** 2 * templates.shape[-1]))
    for first in range(0, len(points), frames_at_once):
        chunk = slice(first, first + frames_at_once)
        levels = [
            correlate_patches(features[chunk], points[chunk] / 2**level, templates[chunk] * scale, radius)
            .transpose(-1, -2)
            .flatten(-2)
            for level, features in enumerate(pyramid)
        ]
        found.append(torch.cat(levels, dim=-1))
    return torch.cat(found)
