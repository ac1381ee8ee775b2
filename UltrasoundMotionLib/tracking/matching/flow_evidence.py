"""Evidence, gathered over neighbours and frames, that points are where the coarse motion from the query frame says."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.tracking.matching.image_pyramid import ImagePyramid
from UltrasoundMotionLib.tracking.matching.neighbour_groups import MOST_POINTS_TOGETHER
from UltrasoundMotionLib.tracking.matching.neighbour_motion import smooth_kernel
from UltrasoundMotionLib.tracking.matching.query_flow import QueryFlow
from UltrasoundMotionLib.tracking.matching.settings import QueryFlowSettings

_WORTH_OF_FIRST = 1.0
_WORTH_OF_NEIGHBOURS = 0.15


class FlowEvidence:
    """Keeps the coarse motion and what speaks for it at points (N, 2) px of the query frame.

    On phantoms the coarse motion is wrong far more often than a point's path, and one comparison of the long template
    at both places is a weak witness. Neighbours and a few frames together are a strong one.

    Args:
        pyramid: of the query frame.
        points: (N, 2) px.
        config: settings.
        unit: pixels for one pixel of a frame whose longer side has 256.
    """

    def __init__(self, pyramid: ImagePyramid, points: np.ndarray, config: QueryFlowSettings, unit: float) -> None:
        self._config, self._points, self._unit = config, points, unit
        self._level = len(pyramid.levels) - 1
        self._flow = QueryFlow(pyramid.levels[-1])
        self._evidence = np.zeros(len(points))
        self._frames = 0

    def places(self, pyramid: ImagePyramid) -> np.ndarray | None:
        """Returns where the motion to the next frame leads the points (N, 2); None where it is not found."""
        self._frames += 1
        if self._frames % self._config.every:
            return None
        self._flow.update(pyramid.levels[-1])
        scale = 2.0**self._level
        return self._points + self._flow.displacement((self._points + 0.5) / scale - 0.5) * scale

    def far(self, points: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Tells for which points (N, 2) the motion's places (N, 2) are others; (N,) bool."""
        return np.linalg.norm(places - points, axis=1) > self._config.distance * self._unit

    def weigh(self, far: np.ndarray, correlation: np.ndarray, there: np.ndarray) -> np.ndarray:
        """Returns which points (N,) bool are to be moved to the motion's places.

        Args:
            far: (N,) see `far`.
            correlation: (N,) of the long template where the points are ...
            there: ... and at the motion's places.
        """
        config = self._config
        gain = np.where(far, _log_likelihood(there) - _log_likelihood(correlation), 0.0)
        together = gain
        if len(far) <= MOST_POINTS_TOGETHER:
            kernel = smooth_kernel(self._points[None], config.length * self._unit)[0] * far
            together = (kernel @ gain) / (_WORTH_OF_FIRST + _WORTH_OF_NEIGHBOURS * kernel.sum(axis=1))
        self._evidence = config.memory * self._evidence + (1 - config.memory) * np.where(far, together, 0.0)
        return far & (gain > -0.1) & (config.evidence * self._evidence + config.readiness > 0)


def _log_likelihood(correlation: np.ndarray) -> np.ndarray:
    """Log-likelihood of a match for each two independent samples."""
    return -np.log1p(-np.square(np.clip(correlation, 0, 0.99)))
