"""The two windows of a Siamese tracker: the exemplar, a landmark with its context, and the search window.

Bertinetto et al., "Fully-Convolutional Siamese Networks for Object Tracking" (ECCV workshops 2016), Sec. 3.1: the
exemplar is 127 samples wide and holds a target of side w with a margin of p = w / 2 on each side (their p = (w + h) /
4), so 2 w; the search window is 255 wide at the same scale. A point has no side: w is 24 px of a frame whose longer
side has 256, as `kcf` has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.windows.windows import crop_windows

EXEMPLAR_SIZE = 127
INSTANCE_SIZE = 255
TARGET_PX = 24.0
SAMPLE_PX = 2 * TARGET_PX / EXEMPLAR_SIZE
"""Pixels, of a frame whose longer side has 256, from one sample of a window to the next."""


BRIGHT_PART = 0.995


@dataclass(frozen=True)
class GreyRange:
    """Grey values as (value - low) / (high - low); taken from the query frame and kept for the whole clip."""

    low: float
    high: float

    @classmethod
    def of(cls, frame: Tensor) -> GreyRange:
        """Takes the range from the least value (0) to the 99.5th percentile (1) of a frame (H, W), of some 20 000 of
        its pixels.
        """
        values = frame.flatten()
        return cls(float(values.min()), float(torch.quantile(values[:: max(1, len(values) // 20000)], BRIGHT_PART)))

    def apply(self, frames: Tensor) -> Tensor:
        """Scales frames of any shape."""
        return (frames - self.low) / (max(self.high - self.low, 0.0) or 1.0)


def exemplar_windows(image: Tensor, points: Tensor, steps: Tensor) -> Tensor:
    """Cuts windows (N, 1, 127, 127) of `image` (H, W) around `points` (N, 2), `steps` (N,) or (N, 2) pixels from sample
    to sample; the image's mean beyond it.
    """
    return crop_windows(image, points, steps, EXEMPLAR_SIZE, outside="mean")[:, None]


def search_windows(image: Tensor, points: Tensor, steps: Tensor) -> Tensor:
    """Cuts windows (N, 1, 255, 255), as `exemplar_windows`."""
    return crop_windows(image, points, steps, INSTANCE_SIZE, outside="mean")[:, None]


def standardised(windows: Tensor) -> Tensor:
    """Standardises windows (N, 1, H, W) of about 0 to 1 to mean 0 and deviation 1 each, so that gain and shadow change
    little; nearly blank ones stay small.
    """
    centred = windows - windows.mean(dim=(2, 3), keepdim=True)
    return centred / (centred.square().mean(dim=(2, 3), keepdim=True).sqrt() + 0.02)
