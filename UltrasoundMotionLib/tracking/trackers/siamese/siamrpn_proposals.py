"""Choice of SiamRPN's proposals (Li et al., CVPR 2018, Sec. 3.4.2): the two strategies of ranking, then suppression."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import RpnAnswer, corrected


@dataclass(frozen=True)
class ProposalConfig:
    """Settings by which proposals are ranked.

    Attributes:
        reach: cells from the search window's middle, along x and y, up to which proposals count: the first strategy;
            None: all of them. The paper keeps 7 x 7 cells, a reach of 3.
        window_influence: share of the cosine window in the ranks: the second strategy.
        size_penalty: k of the paper's penalty, against changes of size and ratio.
        count: number of the highest ranks that are kept (the paper's K, which it does not give).
        suppress_above: of two proposals that overlap by more than this (intersection over union), the one of the lower
            rank is suppressed.
    """

    reach: int | None = None
    window_influence: float = 0.0
    size_penalty: float = 0.0
    count: int = 32
    suppress_above: float = 0.7


@dataclass(frozen=True)
class Proposals:
    """The K highest proposals of N landmarks, the highest rank first.

    Attributes:
        boxes: (N, K, 4) x and y from the search window's middle, width, height, in its samples.
        scores: (N, K) probabilities of the target.
        penalties: (N, K) factors of the change of size and ratio in (0, 1], 1 for an unchanged size.
        ranks: (N, K).
        kept: (N, K) bool, False where a proposal is suppressed; the first one is always kept.
    """

    boxes: Tensor
    scores: Tensor
    penalties: Tensor
    ranks: Tensor
    kept: Tensor


def ranked_proposals(
    answer: RpnAnswer,
    anchors: Tensor,
    config: ProposalConfig | None = None,
    shapes: Tensor | None = None,
    window: Tensor | None = None,
) -> Proposals:
    """Ranks the proposals of each landmark and suppresses those that repeat a higher one.

    Args:
        anchors: (k, 4, h, w), see `SiamRpnNetwork.anchors`.
        shapes: (N, 2) each landmark's present width and height in samples; needed with a size penalty.
        window: (h, w) cosine window; needed with an influence of it.
    """
    config = config or ProposalConfig()
    scores = answer.logits.float().softmax(dim=2)[:, :, 1]
    boxes = corrected(anchors, answer.boxes.float())
    penalties = torch.ones_like(scores)
    if config.size_penalty and shapes is not None:
        penalties = torch.exp(-config.size_penalty * (_change(boxes, shapes) - 1))
    ranks = scores * penalties
    if config.window_influence and window is not None:
        ranks = (1 - config.window_influence) * ranks + config.window_influence * window
    if config.reach is not None:
        ranks = torch.where(_near_middle(ranks, config.reach), ranks, -torch.inf)
    highest, which = ranks.flatten(1).topk(min(config.count, ranks[0].numel()), dim=1)
    chosen = boxes.transpose(1, 2).flatten(2).gather(2, which[:, None].expand(-1, 4, -1)).transpose(1, 2)
    return Proposals(
        chosen,
        scores.flatten(1).gather(1, which),
        penalties.flatten(1).gather(1, which),
        highest,
        kept_boxes(chosen, config.suppress_above) & torch.isfinite(highest),
    )


def kept_boxes(boxes: Tensor, suppress_above: float) -> Tensor:
    """Finds the boxes that non-maximum suppression keeps.

    Args:
        boxes: (N, K, 4) x and y of the middle, width, height; the highest rank first.
        suppress_above: intersection over union with a kept box of higher rank above which a box is suppressed.

    Returns:
        (N, K) bool.
    """
    middle, side = boxes[..., :2], boxes[..., 2:]
    low, high = middle - side / 2, middle + side / 2
    common = torch.minimum(high[:, :, None], high[:, None]) - torch.maximum(low[:, :, None], low[:, None])
    shared = common.clamp(min=0).prod(dim=3)
    areas = side.prod(dim=2)
    repeats = shared > suppress_above * (areas[:, :, None] + areas[:, None] - shared)
    kept = torch.ones(boxes.shape[:2], dtype=torch.bool, device=boxes.device)
    for rank in range(boxes.shape[1]):
        kept[:, rank + 1 :] &= ~(repeats[:, rank, rank + 1 :] & kept[:, rank, None])
    return kept


def _near_middle(maps: Tensor, reach: int) -> Tensor:
    """Returns a mask (h, w) of the cells of maps (..., h, w) within `reach` of the middle along both axes."""
    height, width = maps.shape[-2:]
    rows = (torch.arange(height, device=maps.device) - height // 2).abs() <= reach
    columns = (torch.arange(width, device=maps.device) - width // 2).abs() <= reach
    return rows[:, None] & columns


def _change(boxes: Tensor, shapes: Tensor) -> Tensor:
    """Computes max(r / r', r' / r) * max(s / s', s' / s), (N, k, h, w), of boxes (N, k, 4, h, w) and the
    landmarks' `shapes` (N, 2).
    """
    width, height = boxes[:, :, 2], boxes[:, :, 3]
    present = shapes[:, :, None, None, None]
    ratio = (width / height) / (present[:, 0] / present[:, 1])
    size = overall_size(width, height) / overall_size(present[:, 0], present[:, 1])
    return torch.maximum(ratio, 1 / ratio) * torch.maximum(size, 1 / size)


def overall_size(width: Tensor, height: Tensor) -> Tensor:
    """Computes the overall size s, s^2 = (w + p) (h + p), of boxes with their margin p = (w + h) / 2."""
    margin = (width + height) / 2
    return ((width + margin) * (height + margin)).sqrt()
