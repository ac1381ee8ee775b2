"""The losses of SpeckNet: a weighted L1 of positions and, beyond the paper, the cross-entropy of the cost volume.

The soft argmax averages over a disk around the highest cell. Where that is the wrong cell, the L1 has a gradient inside
of the wrong disk only; the cross-entropy of the volume, as a distribution over all cells, moves the peak to the right
one. Its target is the truth spread bilinearly over four cells, whose mean is the truth, so that it trains the place
within a cell as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.trackers.specknet.cost_volume import log_cost_volume, query_features, soft_argmax
from UltrasoundMotionLib.tracking.trackers.specknet.network import STRIDES, SpeckNetConfig


@dataclass(frozen=True)
class SpeckNetLoss:
    """The weights of the losses.

    Attributes:
        cross_entropy: weight of the cross-entropy over the whole volume; 0 is the paper's loss.
        l1_per_px: weight of the L1 distance in pixels of the network's input.
        hidden: weight of points that are hidden in the target frame (1 when visible). The paper's "weighted L1 (...)
            following Zheng et al." leaves the weights to that work, whose weights are of refinement steps, which
            SpeckNet has not, and of valid points; hence 0.
        l1_only_near: L1 counts only where the truth is within the soft argmax's disk, so that its gradient can lead
            there.
    """

    cross_entropy: float = 1.0
    l1_per_px: float = 0.05
    hidden: float = 0.0
    l1_only_near: bool = True


PUBLISHED_LOSS = SpeckNetLoss(cross_entropy=0.0, l1_per_px=1.0, l1_only_near=False)


@dataclass(frozen=True)
class LossParts:
    """Sums over the pairs of points that count, as scalar tensors; divided by `weight` they are means."""

    total: Tensor
    l1: Tensor
    cross_entropy: Tensor
    found: Tensor
    weight: Tensor


def clip_loss(
    maps: tuple[Tensor, Tensor, Tensor],
    points: Tensor,
    visible: Tensor,
    query_frames: list[int],
    *,
    config: SpeckNetConfig,
    loss: SpeckNetLoss,
) -> LossParts:
    """Computes the losses of one clip, from each of `query_frames` to all its other frames.

    Args:
        maps: features of its frames, each (T, C, h, w).
        points: (T, N, 2) true positions in pixels of the network's input.
        visible: (T, N) bool; points that are hidden on a query frame do not count for it.

    Returns:
        Sums; `found` counts points found within one cell's side of the truth.
    """
    sums = [points.new_zeros(()) for _ in range(5)]
    height, width = maps[0].shape[2] * STRIDES[0], maps[0].shape[3] * STRIDES[0]
    limits = torch.tensor([width - 1, height - 1], dtype=points.dtype, device=points.device)
    inside = ((points >= 0) & (points <= limits)).all(-1)
    for query in query_frames:
        others = [frame for frame in range(len(points)) if frame != query]
        on_query = torch.nonzero(visible[query] & inside[query])[:, 0]
        if len(on_query) == 0:
            continue
        truth = points[others][:, on_query]
        weight = torch.where(visible[others][:, on_query], 1.0, loss.hidden) * inside[others][:, on_query]
        fine, middle, coarse = maps
        one = slice(query, query + 1)
        feature = query_features((fine[one], middle[one], coarse[one]), points[one, on_query])
        volume = log_cost_volume(feature, (fine[others], middle[others], coarse[others]), config)
        peak = soft_argmax(volume, config)
        distance = (peak.points - truth).abs().sum(-1)
        reach = (peak.points.detach() - truth).norm(dim=-1)
        near = (
            (reach < config.peak_radius * STRIDES[0]) if loss.l1_only_near else torch.ones_like(reach, dtype=torch.bool)
        )
        l1 = (weight * near * distance).sum()
        entropy = sums[0].new_zeros(())
        if loss.cross_entropy > 0:
            entropy = -(weight * log_likelihood(volume, truth)).sum()
        parts = (
            loss.l1_per_px * l1 + loss.cross_entropy * entropy,
            l1,
            entropy,
            (weight * (reach < STRIDES[0])).sum(),
            weight.sum(),
        )
        sums = [total + part for total, part in zip(sums, parts, strict=True)]
    return LossParts(*sums)


def log_likelihood(log_volume: Tensor, points: Tensor) -> Tensor:
    """Returns the mean logarithm (B, N) of the normalised volume (B, N, h, w) over the four cells around points
    (B, N, 2), weighted bilinearly: the negative cross-entropy with the truth spread over these cells.
    """
    height, width = log_volume.shape[2:]
    flat = log_volume.flatten(2)
    cells = (points + 0.5) / STRIDES[0] - 0.5
    first = cells.floor()
    part = cells - first
    total = -flat.logsumexp(dim=2)
    for down in (0, 1):
        for right in (0, 1):
            x = (first[..., 0] + right).clamp(0, width - 1).long()
            y = (first[..., 1] + down).clamp(0, height - 1).long()
            weight = (part[..., 0] if right else 1 - part[..., 0]) * (part[..., 1] if down else 1 - part[..., 1])
            total = total + weight * flat.gather(2, (y * width + x)[..., None])[..., 0]
    return total
