"""The grid of a scale: how coarse to fine methods divide a working pair."""

from __future__ import annotations

from UltrasoundMotionLib.registration.working_pair import WorkingPair

LEAST_SIZE = 8


def grid_at(pair: WorkingPair, scale: float) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Size (D, H, W) and relative spacing (x, y, z) at a scale.

    An axis that is that coarse already keeps its voxels, and all keep eight.
    """
    size, spacing = [], []
    for voxels, step in zip(pair.fixed.shape[:1:-1], pair.spacing, strict=True):
        count = max(min(voxels, LEAST_SIZE), round(voxels / max(1.0, scale / step)))
        size.append(count)
        spacing.append(step * voxels / count)
    return tuple(size[::-1]), tuple(spacing)
