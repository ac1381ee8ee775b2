"""The objective of SiamRPN: anchors classified as landmark or background, and corrected to its box (Li et al., CVPR
2018, Sec. 3.3 and 4.1).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.lab.training.data.landmark_batches import LandmarkBatch
from UltrasoundMotionLib.lab.training.objectives.landmarks import LandmarkObjective
from UltrasoundMotionLib.tracking.trackers.siamese.crops import INSTANCE_SIZE, SAMPLE_PX, TARGET_PX
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import (
    SiamRpnNetwork,
    SiamRpnNetworkConfig,
    corrections,
    overlap,
)
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_proposals import best_boxes


@dataclass(frozen=True)
class SiamRpnLoss:
    """The labels of anchors and the weight of their corrections.

    All positives and negatives count, weighted alike; the paper draws 16 and 48 of them from each pair.

    Attributes:
        positive_above / negative_below: overlap of an anchor with the landmark's box. With the paper's 0.6 and 0.3
            (`PUBLISHED_LOSS`) anchors 6 px (of 256) away from a landmark are positive.
        box_weight: lambda of Eq. 11.
        box_knee: distance, relative to the anchor's side, at which the smooth L1 loss turns from square to linear.
    """

    positive_above: float = 0.75
    negative_below: float = 0.5
    box_weight: float = 2.0
    box_knee: float = 0.03


PUBLISHED_LOSS = SiamRpnLoss(0.6, 0.3, 1.2, 0.1)


class SiamRpnObjective(LandmarkObjective):
    """Trains `SiamRpnNetwork`."""

    name = "siamrpn"
    architecture = "SiamRpnNetwork"
    largest_size = 1.15

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
        score = 0.5 * (_mean_where(entropy, positive) + _mean_where(entropy, negative))
        distance = F.smooth_l1_loss(
            response.boxes.float(), corrections(anchors, truth), reduction="none", beta=self.loss.box_knee
        ).sum(dim=2)
        box = _mean_where(distance, positive)
        return {"total": score + self.loss.box_weight * box, "score": score, "box": box}

    @torch.no_grad()
    def locate(self, batch: LandmarkBatch) -> Tensor:
        """Returns the centres of the best boxes, without a cosine window."""
        found = best_boxes(self.network(batch.exemplar, batch.instance), self.network.anchors(batch.target.device))
        return found.boxes[:, :2] + INSTANCE_SIZE // 2

    def configuration(self) -> dict[str, object]:
        """Returns the network's configuration."""
        return {"network": asdict(self.network.config)}


def landmark_boxes(batch: LandmarkBatch) -> Tensor:
    """Returns (B, 4) x, y from the search window's middle, width and height, in its samples: squares of the landmark's
    nominal side.
    """
    side = TARGET_PX / SAMPLE_PX * batch.size[:, None]
    return torch.cat([batch.target - INSTANCE_SIZE // 2, side, side], dim=1)


def _mean_where(values: Tensor, which: Tensor) -> Tensor:
    return (values * which).sum() / which.sum().clamp(min=1)
