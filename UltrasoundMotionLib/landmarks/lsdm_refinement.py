"""Grey levels around a landmark found again near by, between pixels too: what makes LSDM's motions exact where it matters, at the landmark."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.landmarks.siamese_peak import map_peaks
from UltrasoundMotionLib.landmarks.windows import crop_windows


@dataclass(frozen=True)
class Refined:
    """Places (N, 2) in working pixels, the correlation (N,) in [-1, 1] there, and that (N,) where the landmark was expected."""

    points: Tensor
    there: Tensor
    expected: Tensor


def patches(image: Tensor, points: Tensor, step: float, size: int) -> Tensor:
    """(N, size, size) around points (N, 2) of an image (H, W), of zero mean and unit norm; `size` odd."""
    cut = crop_windows(image, points, torch.full((len(points),), step, device=points.device), size)
    cut = cut - cut.mean(dim=(1, 2), keepdim=True)
    return cut / (cut.square().sum(dim=(1, 2), keepdim=True).sqrt() + 1e-3)


def refined(templates: Tensor, image: Tensor, expected: Tensor, step: float, radius: int) -> Refined:
    """Where templates (N, p, p) of `patches` are in the image, up to `radius` samples from where they are expected (N, 2).

    Normalised correlation at every sample, a parabola along each axis between them.
    """
    count, size = templates.shape[0], templates.shape[1]
    steps = torch.full((count,), step, device=expected.device)
    area = crop_windows(image, expected, steps, size + 2 * radius)
    area = area - area.mean(dim=(1, 2), keepdim=True)
    products = F.conv2d(area[None], templates[:, None], groups=count)[0]
    mean, power = F.avg_pool2d(area[:, None], size, 1)[:, 0], F.avg_pool2d(area.square()[:, None], size, 1)[:, 0]
    norm = ((power - mean.square()).clamp(min=0) * size**2).sqrt() + 1e-3
    correlation = products / norm
    peaks = map_peaks(correlation)
    best = correlation.flatten(1).gather(1, peaks.cells[:, None])[:, 0]
    return Refined(expected + step * (peaks.places - radius), best, correlation[:, radius, radius])
