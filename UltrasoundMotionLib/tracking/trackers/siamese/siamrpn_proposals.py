"""Choice of the best of SiamRPN's proposals (Li et al., CVPR 2018, Sec. 3.4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import RpnAnswer, corrected


@dataclass(frozen=True)
class ProposalConfig:
    """Settings by which proposals are ranked.

    Attributes:
        window_influence: share of the cosine window in the ranks.
        size_penalty: k of Eq. 14, against changes of size and ratio.
        mean_radius: boxes within so many cells of the best one are averaged, weighed by their scores to the fourth
            power; 0 takes the best alone. The paper suppresses them (NMS), and averages nothing: a box's border matters
            there, a landmark's place here.
    """

    window_influence: float = 0.0
    size_penalty: float = 0.0
    mean_radius: int = 1


@dataclass(frozen=True)
class BestBoxes:
    """Best boxes (N, 4): x and y from the search window's middle, width, height, in samples; scores (N,) in [0, 1]."""

    boxes: Tensor
    scores: Tensor


def best_boxes(
    answer: RpnAnswer,
    anchors: Tensor,
    config: ProposalConfig | None = None,
    sides: Tensor | None = None,
    window: Tensor | None = None,
) -> BestBoxes:
    """Chooses the best proposal of each landmark.

    Args:
        anchors: (k, 4, h, w), see `SiamRpnNetwork.anchors`.
        sides: (N,) each landmark's present side in samples; needed with a size penalty.
        window: (h, w) cosine window; needed with an influence of it.
    """
    config = config or ProposalConfig()
    scores = answer.logits.float().softmax(dim=2)[:, :, 1]
    boxes = corrected(anchors, answer.boxes.float())
    ranks = scores
    if config.size_penalty and sides is not None:
        ranks = ranks * torch.exp(-config.size_penalty * (_change(boxes, sides) - 1))
    if config.window_influence and window is not None:
        ranks = (1 - config.window_influence) * ranks + config.window_influence * window
    count, kinds, height, width = ranks.shape
    best = ranks.reshape(count, -1).argmax(dim=1)
    cell = best % (height * width)
    # Scores of the cells around the best one, of all anchors there.
    near = F.one_hot(cell, height * width).float().reshape(count, 1, height, width)
    reach = 2 * config.mean_radius + 1
    weights = scores.square().square() * F.max_pool2d(near, reach, stride=1, padding=config.mean_radius)
    if config.mean_radius == 0:
        weights = F.one_hot(best, kinds * height * width).float().reshape(ranks.shape)
    total = weights.sum(dim=(1, 2, 3)).clamp(min=1e-12)
    mean = (boxes * weights[:, :, None]).sum(dim=(1, 3, 4)) / total[:, None]
    return BestBoxes(mean, scores.reshape(count, -1).gather(1, best[:, None])[:, 0])


def _change(boxes: Tensor, sides: Tensor) -> Tensor:
    """Computes max(r / r', r' / r) * max(s / s', s' / s) of Eq. 14 for boxes (N, k, 4, h, w) and squares of `sides`
    (N,).
    """
    width, height = boxes[:, :, 2], boxes[:, :, 3]
    ratio = torch.maximum(width / height, height / width)
    margin = (width + height) / 2
    size = ((width + margin) * (height + margin)).sqrt() / (2 * sides[:, None, None, None])
    return ratio * torch.maximum(size, 1 / size)
