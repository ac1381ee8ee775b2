"""The objective of SiamRPN: anchors classified as landmark or background, and corrected to its box (Li et al., CVPR
2018, Sec. 3.3 and 4.1).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.lab.training.data.landmark_batches import LandmarkBatch
from UltrasoundMotionLib.lab.training.objectives.siamese import SiameseObjective
from UltrasoundMotionLib.tracking.trackers.siamese.crops import INSTANCE_SIZE, SAMPLE_PX, TARGET_PX
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import (
    SiamRpnNetwork,
    SiamRpnNetworkConfig,
    corrections,
    overlap,
)
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_proposals import ProposalConfig, ranked_proposals


@dataclass(frozen=True)
class SiamRpnLoss:
    """The labels of anchors and the weight of their corrections.

    Attributes:
        positive_above / negative_below: overlap of an anchor with the landmark's box. With the paper's 0.6 and 0.3
            (`PUBLISHED_LOSS`) anchors 6 px (of 256) away from a landmark are positive.
        box_weight: lambda of Eq. 11.
        box_knee: distance, relative to the anchor's side, at which the smooth L1 loss turns from square to linear.
        drawn: (positives, all) of each pair that count, at most so many positives and negatives up to the whole, drawn
            by the step's number: the paper's 16 of 64. None: all of them, positives and negatives weighted alike.
    """

    positive_above: float = 0.75
    negative_below: float = 0.5
    box_weight: float = 2.0
    box_knee: float = 0.03
    drawn: tuple[int, int] | None = None


PUBLISHED_LOSS = SiamRpnLoss(0.6, 0.3, 1.2, 1 / 9, drawn=(16, 64))
"""The paper's labels; the weight of the boxes and the knee (sigma = 3) are those of its authors' later code."""


class SiamRpnObjective(SiameseObjective):
    """Trains `SiamRpnNetwork`."""

    name = "siamrpn"
    architecture = "SiamRpnNetwork"
    largest_size = 1.15
    largest_ratio = 2.5  # or a square landmark would never be near the anchors that are not square

    def __init__(self, loss: SiamRpnLoss | None = None, network: SiamRpnNetworkConfig | None = None) -> None:
        super().__init__()
        self.loss = loss or SiamRpnLoss()
        self.network: SiamRpnNetwork = SiamRpnNetwork(network)

    def losses(self, batch: LandmarkBatch, step: int) -> dict[str, Tensor]:
        """Computes cross-entropy and smooth L1; a landmark that is hidden in x_t has negatives only."""
        response = self.network(batch.exemplar, batch.instance)
        anchors, truth = self.network.anchors(batch.target.device), landmark_boxes(batch)
        common = overlap(anchors, truth)
        positive = (common > self.loss.positive_above) & batch.visible[:, None, None, None]
        negative = (common < self.loss.negative_below) | ~batch.visible[:, None, None, None]
        entropy = F.cross_entropy(response.logits.float().transpose(1, 2), positive.long(), reduction="none")
        if self.loss.drawn is None:
            score = 0.5 * (_mean_where(entropy, positive) + _mean_where(entropy, negative))
        else:
            positive, negative = drawn_anchors(positive, negative, self.loss.drawn, step)
            score = _mean_where(entropy, positive | negative)
        distance = F.smooth_l1_loss(
            response.boxes.float(), corrections(anchors, truth), reduction="none", beta=self.loss.box_knee
        ).sum(dim=2)
        box = _mean_where(distance, positive)
        return {"total": score + self.loss.box_weight * box, "score": score, "box": box}

    @torch.no_grad()
    def locate(self, batch: LandmarkBatch) -> Tensor:
        """Returns the centres of the best boxes, without a cosine window."""
        answer, anchors = self.network(batch.exemplar, batch.instance), self.network.anchors(batch.target.device)
        found = ranked_proposals(answer, anchors, ProposalConfig(count=1))
        return found.boxes[:, 0, :2] + INSTANCE_SIZE // 2

    def configuration(self) -> dict[str, object]:
        """Returns the network's configuration."""
        return {"network": asdict(self.network.config)}


def landmark_boxes(batch: LandmarkBatch) -> Tensor:
    """Returns (B, 4) x, y from the search window's middle, width and height, in its samples: squares of the landmark's
    nominal side as the window shows them, stretched with it.
    """
    side, stretch = TARGET_PX / SAMPLE_PX * batch.size[:, None], batch.ratio[:, None].sqrt()
    return torch.cat([batch.target - INSTANCE_SIZE // 2, side / stretch, side * stretch], dim=1)


def drawn_anchors(positive: Tensor, negative: Tensor, counts: tuple[int, int], step: int) -> tuple[Tensor, Tensor]:
    """Draws at most `counts[0]` positives of each sample, and negatives up to `counts[1]` in all.

    Args:
        positive, negative: (B, ...) bool.
        step: its number draws.

    Returns:
        Those that are drawn, (B, ...) bool each.
    """
    generator = torch.Generator(positive.device).manual_seed(step)
    lots = torch.rand(positive.flatten(1).shape, generator=generator, device=positive.device)

    def first(which: Tensor, count: Tensor | int) -> Tensor:
        ranks = lots.masked_fill(~which, 2.0).argsort(dim=1).argsort(dim=1)
        return which & (ranks < count)

    some = first(positive.flatten(1), counts[0])
    others = first(negative.flatten(1), counts[1] - some.sum(dim=1, keepdim=True))
    return some.reshape(positive.shape), others.reshape(negative.shape)


def _mean_where(values: Tensor, which: Tensor) -> Tensor:
    return (values * which).sum() / which.sum().clamp(min=1)
