"""The resolution that trackers work at: large frames are halved until their speckle has the size of patches and
windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

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

    def image(self, frame: np.ndarray, device: torch.device) -> Tensor:
        """Returns the working image (h, w) float32 of a frame."""
        image = torch.tensor(np.array(frame, dtype=np.float32), device=device)
        for _ in range(self.halvings):
            image = F.avg_pool2d(image[None, None], 2, ceil_mode=True, count_include_pad=False)[0, 0]
        return image

    def to_working(self, points: Tensor) -> Tensor:
        """Converts points (N, 2) of the frame to working pixels."""
        return (points + 0.5) / 2**self.halvings - 0.5

    def to_frame(self, points: Tensor) -> np.ndarray:
        """Converts working points to positions (N, 2) float64 inside the frame."""
        positions = (points.cpu().numpy().astype(np.float64) + 0.5) * 2**self.halvings - 0.5
        return np.clip(positions, 0, [self.shape[1] - 1, self.shape[0] - 1])
