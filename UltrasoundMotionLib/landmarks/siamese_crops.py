"""The two windows of a Siamese tracker: the landmark with its context, and the place where it is looked for.

Bertinetto et al., "Fully-Convolutional Siamese Networks for Object Tracking" (ECCV workshops 2016), Sec. 3.1: the exemplar is 127 samples wide and
holds a target of side w with a margin of p = w / 2 on each side (their p = (w + h) / 4), so 2 w; the search window is 255 wide at the same scale.
A point has no side: w is 24 px of a frame whose longer side has 256, as `kcf` has it.
"""

from __future__ import annotations

from torch import Tensor

from UltrasoundMotionLib.landmarks.windows import crop_windows

EXEMPLAR_SIZE = 127
INSTANCE_SIZE = 255
TARGET_PX = 24.0
SAMPLE_PX = 2 * TARGET_PX / EXEMPLAR_SIZE
"""Pixels, of a frame whose longer side has 256, from one sample of a window to the next."""


def exemplar_windows(image: Tensor, points: Tensor, steps: Tensor) -> Tensor:
    """(N, 1, 127, 127) windows of `image` (H, W) around `points` (N, 2), `steps` (N,) pixels from sample to sample; the image's mean beyond it."""
    return crop_windows(image, points, steps, EXEMPLAR_SIZE, outside="mean")[:, None]


def search_windows(image: Tensor, points: Tensor, steps: Tensor) -> Tensor:
    """(N, 1, 255, 255), as `exemplar_windows`."""
    return crop_windows(image, points, steps, INSTANCE_SIZE, outside="mean")[:, None]


def standardised(windows: Tensor) -> Tensor:
    """Windows (N, 1, H, W) of about 0 to 1 with mean 0 and deviation 1 each, so that gain and shadow change little; nearly blank ones stay small."""
    centred = windows - windows.mean(dim=(2, 3), keepdim=True)
    return centred / (centred.square().mean(dim=(2, 3), keepdim=True).sqrt() + 0.02)
