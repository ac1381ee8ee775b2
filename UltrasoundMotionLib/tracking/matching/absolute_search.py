"""A second source of drift-free positions, beside the long template: something that knows the query points and finds
them in any frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Finding:
    """Where the query points were found in one frame.

    Attributes:
        points: (N, 2) px of the frame.
        covariance: (N, 2, 2) px^2 of that position, if it is the right place.
        likelihood: (N,) log-likelihood of the point being there ...
        expected_likelihood: (N,) ... and where it was expected.
        visibility: (N,) in [0, 1], how likely the point is seen there at all.
    """

    points: Tensor
    covariance: Tensor
    likelihood: Tensor
    expected_likelihood: Tensor
    visibility: Tensor


class AbsoluteSearch(Protocol):
    """Finds query points anew in every frame.

    Attributes:
        frames_at_once: how many frames it likes to see together.
    """

    frames_at_once: int

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> None:
        """Remembers how points (N, 2) px look on `frame` (H, W)."""
        ...

    def see(self, frames: np.ndarray) -> None:
        """Looks at the next frames (K, H, W)."""
        ...

    def find(self, index: int, expected: Tensor, covariance: Tensor) -> Finding:
        """Where the points are in the frame of that index among those last seen, given what is expected: (N, 2) px and
        its covariance (N, 2, 2).
        """
        ...
