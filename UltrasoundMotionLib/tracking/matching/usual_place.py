"""The return of points out of sight: back towards their usual place, ever less certain, until they are found again."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.tracking.matching.matcher import mean_variance
from UltrasoundMotionLib.tracking.matching.settings import UsualPlaceSettings


class UsualPlace:
    """Running means of the positions of points (N, 2), in pixels; `unit` of them are one pixel of a 256-pixel frame."""

    def __init__(self, points: np.ndarray, config: UsualPlaceSettings, unit: float) -> None:
        self._places, self._config, self._unit = points, config, unit

    def after(self, points: np.ndarray, covariance: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points (N, 2) and covariances (N, 2, 2) of a frame in which the points `seen` (N,) bool could be seen."""
        self._places = self._places + self._config.rate * seen[:, None] * (points - self._places)
        if seen.all():
            return points, covariance
        points = points + self._config.return_rate * ~seen[:, None] * (self._places - points)
        return points, np.where(seen[:, None, None], covariance, self.grown(covariance))

    def grown(self, covariance: np.ndarray) -> np.ndarray:
        """Covariances (N, 2, 2) after one more frame out of sight."""
        wider = covariance + (self._config.growth * self._unit) ** 2 * np.eye(2)
        limit = (self._config.largest_deviation * self._unit) ** 2
        return wider * np.minimum(limit / mean_variance(wider), 1)[:, None, None]
