"""Obstacles between a probe and the tissue: ribs, and lung that slides in from a side.

They block straight paths from each element, so that a shadow's edge is soft where only a part of the aperture looks
past it, and moves as the obstacle moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Obstacle:
    """A strip at one depth that lets little pass.

    Attributes:
        depth_mm: where it lies.
        left_mm, right_mm: its ends; infinite where it has none.
        passes: amplitude that passes, one way.
        edge_mm: over which its edge fades.
    """

    depth_mm: float
    left_mm: float
    right_mm: float
    passes: float
    edge_mm: float = 0.6


@dataclass(frozen=True)
class Obstacles:
    """Every obstacle of one frame."""

    strips: tuple[Obstacle, ...] = ()

    def passed(self, points_mm: np.ndarray, start_mm: np.ndarray) -> np.ndarray:
        """Returns the amplitude (N,) that is left on the straight ways from one place to points (N, 2)."""
        left = np.ones(len(points_mm), dtype=np.float32)
        for strip in self.strips:
            beyond = points_mm[:, 1] > strip.depth_mm
            part = (strip.depth_mm - start_mm[1]) / np.maximum(points_mm[:, 1] - start_mm[1], 1e-3)
            crossing = start_mm[0] + part * (points_mm[:, 0] - start_mm[0])
            covered = np.clip(0.5 + (crossing - strip.left_mm) / strip.edge_mm, 0, 1)
            covered = covered * np.clip(0.5 + (strip.right_mm - crossing) / strip.edge_mm, 0, 1)
            left = left * np.where(beyond, 1 - (1 - strip.passes) * covered, 1).astype(np.float32)
        return left


NO_OBSTACLES = Obstacles()
