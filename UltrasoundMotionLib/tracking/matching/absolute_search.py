"""Absolute search: a second source of positions without drift, which finds the query points anew in any frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Finding:
    """Positions of the query points in one frame.

    Attributes:
        points: (N, 2) px of the frame.
        covariance: (N, 2, 2) px^2 of that position, if it is the right place.
        likelihood: (N,) log-likelihood of the point being there ...
        expected_likelihood: (N,) ... and where it was expected.
        visibility: (N,) in [0, 1], probability that the point is in sight there.
    """

    points: np.ndarray
    covariance: np.ndarray
    likelihood: np.ndarray
    expected_likelihood: np.ndarray
    visibility: np.ndarray


class AbsoluteSearch(Protocol):
    """Finds query points anew in every frame.

    Attributes:
        frames_at_once: number of frames that it processes together.
    """

    frames_at_once: int

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> None:
        """Stores the appearance of points (N, 2) px on `frame` (H, W)."""
        ...

    def add_frames(self, frames: np.ndarray) -> None:
        """Takes the next frames (K, H, W)."""
        ...

    def find(self, index: int, expected: np.ndarray, covariance: np.ndarray) -> Finding:
        """Finds the points in one of the last frames, given their expected positions (N, 2) px and covariance
        (N, 2, 2).
        """
        ...
