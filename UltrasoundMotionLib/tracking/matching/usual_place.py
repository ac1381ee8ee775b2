"""The return of points out of sight: back towards their usual place, ever less certain, until they are found again."""

from __future__ import annotations

import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.matching.settings import UsualPlaceSettings


class UsualPlace:
    """Running means of the positions of points (N, 2), in pixels; `unit` of them are one pixel of a 256-pixel frame."""

    def __init__(self, points: Tensor, config: UsualPlaceSettings, unit: float) -> None:
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
