"""Windows around landmarks, cut out of frames, and responses in them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def crop_windows(image: Tensor, centres: Tensor, steps: Tensor, size: int, *, outside: str = "nearest") -> Tensor:
    """Square windows, sampled bilinearly.

    Args:
        image: (H, W) or (C, H, W).
        centres: (N, 2), x and y in pixels.
        steps: (N,) pixels from one sample to the next; (N, 2) along x and along y.
        size: samples along a side; with an odd size the centre is a sample, with an even one it is the sample at size
            // 2.
        outside: padding beyond the image: "nearest" pixel, or the image's "mean", as the Siamese trackers pad.

    Returns:
        (N, size, size), or (N, C, size, size) for an image with channels.
    """
    layers = image[None] if image.ndim == 2 else image
    height, width = layers.shape[1:]
    offsets = torch.arange(size, device=image.device, dtype=centres.dtype) - size // 2
    steps = steps.reshape(len(centres), -1)  # one column for both axes, or two
    x = centres[:, :1] + steps[:, :1] * offsets
    y = centres[:, 1:] + steps[:, -1:] * offsets
    grid = torch.stack((x[:, None, :].expand(-1, size, -1), y[:, :, None].expand(-1, -1, size)), dim=-1)
    grid = (grid + 0.5) * 2 / torch.tensor([width, height], device=image.device, dtype=centres.dtype) - 1
    # All windows side by side in one grid, so that the image is not repeated for each.
    flat = grid.reshape(1, len(centres) * size, size, 2)
    middle = layers.mean(dim=(1, 2), keepdim=True) if outside == "mean" else torch.zeros_like(layers[:, :1, :1])
    padding = "zeros" if outside == "mean" else "border"
    sampled = (
        F.grid_sample((layers - middle)[None], flat, mode="bilinear", padding_mode=padding, align_corners=False)[0]
        + middle
    )
    windows = sampled.reshape(len(layers), len(centres), size, size).transpose(0, 1)
    return windows[:, 0] if image.ndim == 2 else windows


def out_of_view(image: Tensor, points: Tensor, margin: float = 0.0) -> Tensor:
    """Finds the points (N, 2) that lie beyond the centres of the border's pixels of an image (H, W), or nearer to them
    than `margin`; (N,) bool.
    """
    limit = torch.tensor([image.shape[1] - 1.0, image.shape[0] - 1.0], device=points.device)
    return ((points < margin) | (points > limit - margin)).any(dim=1)


def cosine_window(size: int, device: torch.device) -> Tensor:
    """(size, size) Hann window, whose zeros lie beyond the border and whose peak is the sample at size // 2."""
    profile = torch.cos(
        torch.pi * (torch.arange(size, device=device, dtype=torch.float32) - size // 2) / (size + 1)
    ).square()
    return torch.outer(profile, profile)


def gaussian_response(size: int, sigma: float, device: torch.device) -> Tensor:
    """(size, size) Gaussian with its peak of 1 at the first sample, wrapped around: the response wanted of a
    filter to a target that has not moved.
    """
    distance = torch.arange(size, device=device, dtype=torch.float32)
    distance = torch.minimum(distance, size - distance)
    profile = torch.exp(-0.5 * (distance / sigma) ** 2)
    return torch.outer(profile, profile)


@dataclass(frozen=True)
class Peaks:
    """The highest place of each response: shifts (N, 2), x and y in samples, between samples too; values (N,) there."""

    shifts: Tensor
    values: Tensor


def find_peaks(responses: Tensor) -> Peaks:
    """Peaks of responses (N, H, W) that wrap around; a parabola along each axis gives the place between samples."""
    count, height, width = responses.shape
    values, flat = responses.reshape(count, -1).max(dim=1)
    rows, columns = flat // width, flat % width
    index = torch.arange(count, device=responses.device)

    def vertex(before: Tensor, after: Tensor) -> Tensor:
        curvature = (2 * values - before - after).clamp(min=1e-12)
        return (0.5 * (after - before) / curvature).clamp(-0.5, 0.5)

    x = columns + vertex(responses[index, rows, (columns - 1) % width], responses[index, rows, (columns + 1) % width])
    y = rows + vertex(responses[index, (rows - 1) % height, columns], responses[index, (rows + 1) % height, columns])
    x = torch.where(x > width / 2, x - width, x)
    y = torch.where(y > height / 2, y - height, y)
    return Peaks(torch.stack((x, y), dim=1), values)
