"""Where a point that cannot be seen goes: back towards its usual place, ever less sure of it, until it is found again."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class UsualPlaceConfig:
    """Lengths in pixels of a frame whose longer side has 256. Chosen on tuning liver phantoms (Docs/concepts/lsdm.md).

    Attributes:
        rate: share of each frame in which a point is seen in its usual place.
        return_rate: part of the way back in each frame in which it is not. Breathing brings tissue back; what moves
            over a hidden point (the edge of a shadow) takes it along without this, and too far for it to be found
            again.
        growth: standard deviation by which its place is less sure after each such frame.
        largest_deviation: its place gets no less sure than that.
    """

    rate: float = 0.02
    return_rate: float = 0.1
    growth: float = 1.0
    largest_deviation: float = 12.0


class UsualPlace:
    """Remembers where points (N, 2) usually are, in pixels of which one of a 256-pixel frame has `unit`."""

    def __init__(self, points: Tensor, config: UsualPlaceConfig, unit: float) -> None:
        self._places, self._config, self._unit = points, config, unit

    def after(self, points: Tensor, covariance: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Points (N, 2) and covariances (N, 2, 2) of a frame in which the points `seen` (N,) bool could be seen."""
        if bool(seen.all()):
            self._places = torch.lerp(self._places, points, self._config.rate)
            return points, covariance
        self._places = torch.lerp(self._places, points, self._config.rate * seen[:, None])
        points = torch.lerp(points, self._places, self._config.return_rate * ~seen[:, None])
        return points, torch.where(seen[:, None, None], covariance, self.grown(covariance))

    def grown(self, covariance: Tensor) -> Tensor:
        """Covariances (N, 2, 2) after one more frame out of sight."""
        wider = covariance + (self._config.growth * self._unit) ** 2 * torch.eye(2, device=covariance.device)
        variance = wider.diagonal(dim1=1, dim2=2).mean(-1)
        limit = (self._config.largest_deviation * self._unit) ** 2
        return wider * (limit / variance).clamp(max=1)[:, None, None]
