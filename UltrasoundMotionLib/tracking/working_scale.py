"""The resolution that trackers work at: large frames are halved until their speckle has the size of patches and
windows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

Points = TypeVar("Points", np.ndarray, "Tensor")

UNIT_SIZE = 256
"""Lengths in settings are stated for a frame whose longer side has so many pixels."""


@dataclass(frozen=True)
class WorkingScale:
    """The change from a frame's pixels to working pixels.

    Attributes:
        shape: (H, W) of the frame.
        halvings: number of times that it is halved.
        unit: working pixels for one pixel of a frame whose longer side has 256.
    """

    shape: tuple[int, int]
    halvings: int
    unit: float

    @classmethod
    def of(cls, shape: tuple[int, ...], working_size: int = UNIT_SIZE) -> WorkingScale:
        """Returns the scale of frames (H, W): halved until the longer side is under twice the working size."""
        longer, halvings = max(shape), 0
        while longer / 2**halvings >= 2 * working_size:
            halvings += 1
        height, width = shape
        return cls((height, width), halvings, longer / 2**halvings / UNIT_SIZE)

    def image(self, frame: np.ndarray) -> np.ndarray:
        """Returns the working image (h, w) float32 of a frame."""
        image = np.array(frame, dtype=np.float32)
        for _ in range(self.halvings):
            image = _halved_rows(_halved_rows(image).T).T
        return np.ascontiguousarray(image)

    def to_working(self, points: Points) -> Points:
        """Converts points (N, 2) of the frame, an array or a tensor, to working pixels."""
        return (points + 0.5) / 2**self.halvings - 0.5

    def to_frame(self, points: np.ndarray) -> np.ndarray:
        """Converts working points to positions (N, 2) float64 inside the frame."""
        positions = (np.asarray(points, dtype=np.float64) + 0.5) * 2**self.halvings - 0.5
        return np.clip(positions, 0, [self.shape[1] - 1, self.shape[0] - 1])


def _halved_rows(image: np.ndarray) -> np.ndarray:
    """Averages pairs of rows; a last single row stays."""
    pairs = image[:-1:2] + image[1::2]
    pairs *= 0.5
    return pairs if len(image) % 2 == 0 else np.concatenate((pairs, image[-1:]))
