"""The grid of a scale, for methods that go from coarse to fine."""

from __future__ import annotations

from UltrasoundMotionLib.registration.working_pair import WorkingPair

LEAST_SIZE = 8


def grid_at(pair: WorkingPair, scale: float) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Size (D, H, W) and relative spacing (x, y, z) of a working pair at a scale.

    An axis that is that coarse already keeps its voxels, and every axis keeps at least eight.
    """
    size, spacing = [], []
    for voxels, step in zip(pair.fixed.shape[:1:-1], pair.spacing, strict=True):
        count = max(min(voxels, LEAST_SIZE), round(voxels / max(1.0, scale / step)))
        size.append(count)
        spacing.append(step * voxels / count)
    return tuple(size[::-1]), tuple(spacing)
