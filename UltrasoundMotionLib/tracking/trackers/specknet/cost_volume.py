"""SpeckNet's cost volumes: the similarity of a query point's features to each cell, as a distribution over the frame.

Everything is kept as a logarithm: three volumes in [0, 1] to the power of 15 each multiply to numbers down to 1e-90 and
less, which float32 does not hold (and which would end the gradient). Positions are (x, y) in pixels of the network's
input.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.tracking.trackers.specknet.network import STRIDES, SpeckNetConfig

Features = tuple[Tensor, Tensor, Tensor]
LOWEST = 0.01  # of a volume before the power, so that its 15th power stays a float32


@dataclass(frozen=True)
class Peak:
    """Peaks of the cost volumes of B x N positions.

    Attributes:
        points: (B, N, 2) px, the soft argmax.
        covariance: (B, N, 2, 2) px^2, the second moment around it within the peak's radius.
        log_height: (B, N) at the highest cell, or the given one; at most 0, which is three perfect matches.
    """

    points: Tensor
    covariance: Tensor
    log_height: Tensor


def query_features(maps: Features, points: Tensor) -> Features:
    """Samples the maps (B, C, h, w) bilinearly at points (B, N, 2) or (1, N, 2): each (B, N, C) of unit length.

    Beyond the border: the border's.
    """
    first, second, third = (
        F.normalize(sample_cells(values, to_cells(points, stride)), dim=2, eps=1e-4)
        for values, stride in zip(maps, STRIDES, strict=True)
    )
    return first, second, third


def cosines(query: Features, maps: Features) -> Features:
    """Computes the cosines (B, N, h, w) of query features (B, N, C), or (1, N, C), and each cell of the maps."""
    first, second, third = (
        torch.matmul(feature, values.flatten(2)).unflatten(2, values.shape[2:])
        for feature, values in zip(query, maps, strict=True)
    )
    return first, second, third


def log_cost_volume(
    query: Features, maps: Features, config: SpeckNetConfig, valid_size: tuple[int, int] | None = None
) -> Tensor:
    """Computes the logarithm (B, N, H/8, W/8) of the product of the three volumes.

    Args:
        query: features (B, N, C) of the query points, or (1, N, C) for the same in all frames.
        valid_size: see `log_product`.
    """
    return log_product(cosines(query, maps), config, valid_size)


def log_product(volumes: Features, config: SpeckNetConfig, valid_size: tuple[int, int] | None = None) -> Tensor:
    """Computes the logarithm (B, N, H/8, W/8) of the product of three volumes, given their cosines (B, N, h, w).

    Args:
        valid_size: height and width in pixels of the part of the input that is no padding; other cells are out of the
            question.
    """
    first, second, third = ((0.5 + 0.5 * values).clamp(min=LOWEST) for values in volumes)
    height, width = first.shape[2:]
    coarse = F.interpolate(third**config.contrast_power, (height, width), mode="bilinear", align_corners=False)
    total = config.contrast_power * (first * second).log() + coarse.log()
    if valid_size is not None:
        rows = torch.arange(height, device=total.device) * STRIDES[0] < valid_size[0]
        columns = torch.arange(width, device=total.device) * STRIDES[0] < valid_size[1]
        total = total.masked_fill(~(rows[:, None] & columns[None]), float("-inf"))
    return total


def soft_argmax(log_volume: Tensor, config: SpeckNetConfig) -> Peak:
    """Computes mean and spread of the volume, as a distribution, within `peak_radius` cells of its highest cell.

    The highest cell chooses the disk and has no gradient; the mean within the disk has.
    """
    return soft_argmax_at(log_volume, log_volume.detach().flatten(2).argmax(dim=2), config.peak_radius)


def soft_argmax_at(log_volume: Tensor, best: Tensor, radius: float) -> Peak:
    """Computes `soft_argmax` around given cells `best` (B, N), row * width + column, within `radius` cells."""
    height, width = log_volume.shape[2:]
    flat = log_volume.flatten(2)
    disk = _disk(radius, flat.device)
    columns, rows = (best % width)[..., None] + disk[:, 0], (best // width)[..., None] + disk[:, 1]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    near = flat.gather(2, torch.where(inside, rows * width + columns, 0)).masked_fill(~inside, float("-inf"))
    weight, offsets = near.softmax(dim=2), disk.to(flat.dtype)
    mean = weight @ offsets
    deviation = offsets - mean[:, :, None]
    covariance = torch.einsum("bnk,bnki,bnkj->bnij", weight, deviation, deviation)
    centre = torch.stack((best % width, best // width), dim=2)
    log_height = flat.gather(2, best[..., None])[..., 0]
    return Peak(to_pixels(centre + mean, STRIDES[0]), covariance * STRIDES[0] ** 2, log_height)


def _disk(radius: float, device: torch.device) -> Tensor:
    """Whole-cell offsets (K, 2) within the radius."""
    axis = torch.arange(-int(radius), int(radius) + 1, device=device)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    offsets = torch.stack((x, y), dim=-1).view(-1, 2)
    return offsets[offsets.square().sum(-1) <= radius**2]


def to_cells(points: Tensor, stride: int) -> Tensor:
    """Converts pixels of the network's input to columns and rows of a map."""
    return (points + 0.5) / stride - 0.5


def to_pixels(cells: Tensor, stride: int) -> Tensor:
    """Converts columns and rows of a map to pixels of the network's input."""
    return (cells + 0.5) * stride - 0.5


def sample_cells(values: Tensor, cells: Tensor) -> Tensor:
    """Samples maps (B, C, h, w) bilinearly at cells (B, N, 2): (B, N, C)."""
    size = torch.tensor([values.shape[3], values.shape[2]], dtype=cells.dtype, device=cells.device)
    grid = (2 * cells + 1) / size - 1
    grid = grid.expand(values.shape[0], -1, -1)[:, None]
    return F.grid_sample(values, grid.to(values.dtype), mode="bilinear", padding_mode="border", align_corners=False)[
        :, :, 0
    ].transpose(1, 2)
