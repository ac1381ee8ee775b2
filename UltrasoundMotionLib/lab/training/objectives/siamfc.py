"""The objective of SiamFC: the logistic loss of its response, with positives and negatives weighted alike
(Bertinetto et al. 2016, Sec. 2.2 and 3.1).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.lab.training.data.landmark_batches import LandmarkBatch
from UltrasoundMotionLib.lab.training.objectives.siamese import SiameseObjective
from UltrasoundMotionLib.tracking.trackers.siamese.crops import INSTANCE_SIZE
from UltrasoundMotionLib.tracking.trackers.siamese.network import SCORE_SIZE, STRIDE
from UltrasoundMotionLib.tracking.trackers.siamese.peak import map_peaks, upsampled
from UltrasoundMotionLib.tracking.trackers.siamese.siamfc_network import SiamFcNetwork, SiamFcNetworkConfig


@dataclass(frozen=True)
class SiamFcLoss:
    """The labels of the response.

    Attributes:
        radius: radius of the disc of positives in samples of the search window, in the paper 16; None: a Gaussian.
        sigma: standard deviation of the Gaussian, in samples. It has one highest place; a disc of 16 samples is 12 px
            wide in a frame of 256, which is much for a landmark.
    """

    radius: float | None = None
    sigma: float = 8.0


class SiamFcObjective(SiameseObjective):
    """Trains `SiamFcNetwork`."""

    name = "siamfc"
    architecture = "SiamFcNetwork"

    def __init__(self, loss: SiamFcLoss | None = None, network: SiamFcNetworkConfig | None = None) -> None:
        super().__init__()
        self.loss = loss or SiamFcLoss()
        self.network: SiamFcNetwork = SiamFcNetwork(network)

    def losses(self, batch: LandmarkBatch, step: int) -> dict[str, Tensor]:
        """Computes the logistic loss; a landmark that is hidden in x_t has negatives only."""
        scores = self.network(batch.exemplar, batch.instance).float()
        return {"total": balanced_logistic(scores, score_labels(batch.target, batch.visible, self.loss))}

    @torch.no_grad()
    def locate(self, batch: LandmarkBatch) -> Tensor:
        """Returns the highest places of the responses, without a cosine window."""
        factor = 16
        peaks = map_peaks(upsampled(self.network(batch.exemplar, batch.instance).float(), factor))
        return (peaks.places / factor - SCORE_SIZE // 2) * STRIDE + INSTANCE_SIZE // 2

    def configuration(self) -> dict[str, object]:
        """Returns the network's configuration."""
        return {"network": asdict(self.network.config)}


def score_labels(target: Tensor, visible: Tensor, config: SiamFcLoss) -> Tensor:
    """Returns labels (B, 17, 17) in [0, 1] of the cells of the response, for landmarks at `target` (B, 2) in samples of
    the search window.
    """
    places = (
        STRIDE * (torch.arange(SCORE_SIZE, device=target.device, dtype=torch.float32) - SCORE_SIZE // 2)
        + INSTANCE_SIZE // 2
    )
    squared = (places - target[:, :1]).square()[:, None, :] + (places - target[:, 1:]).square()[:, :, None]
    labels = (
        torch.exp(-0.5 * squared / config.sigma**2) if config.radius is None else (squared <= config.radius**2).float()
    )
    return labels * visible[:, None, None]


def balanced_logistic(scores: Tensor, labels: Tensor) -> Tensor:
    """Returns the mean logistic loss of scores (B, h, w); positives and negatives of a sample each weigh a half."""
    positive = labels / labels.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    negative = (1 - labels) / (1 - labels).sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    each = 0.5 * (positive * F.softplus(-scores) + negative * F.softplus(scores))
    return each.sum(dim=(1, 2)).mean()
