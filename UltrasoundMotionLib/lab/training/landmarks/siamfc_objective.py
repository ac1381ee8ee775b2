"""What SiamFC learns from: the logistic loss of its answer, positives and negatives weighing the same (Bertinetto et
al. 2016, Sec. 2.2 and 3.1).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.lab.training.landmarks.landmark_batches import LandmarkBatch
from UltrasoundMotionLib.lab.training.landmarks.landmark_objective import LandmarkObjective
from UltrasoundMotionLib.tracking.trackers.siamese.crops import INSTANCE_SIZE
from UltrasoundMotionLib.tracking.trackers.siamese.network import SCORE_SIZE, STRIDE
from UltrasoundMotionLib.tracking.trackers.siamese.peak import map_peaks, upsampled
from UltrasoundMotionLib.tracking.trackers.siamese.siamfc_network import SiamFcNetwork, SiamFcNetworkConfig


@dataclass(frozen=True)
class SiamFcLossConfig:
    """How answers are labelled.

    Attributes:
        radius: of the disc of positives in samples of the search window, the paper's 16; None has a Gaussian instead,
            whose peak is one place.
        sigma: of that Gaussian, in samples. A disc of 16 samples is 12 px wide in a frame of 256: wide for a box's
            centre, and wider for a landmark.
    """

    radius: float | None = None
    sigma: float = 8.0


class SiamFcObjective(LandmarkObjective):
    """Trains `SiamFcNetwork`."""

    name = "siamfc"
    architecture = "SiamFcNetwork"

    def __init__(self, loss: SiamFcLossConfig | None = None, network: SiamFcNetworkConfig | None = None) -> None:
        super().__init__()
        self.loss = loss or SiamFcLossConfig()
        self.network = SiamFcNetwork(network)

    def losses(self, batch: LandmarkBatch, step: int) -> dict[str, Tensor]:
        """Logistic loss; a landmark that is hidden in x_t has negatives only."""
        scores = self.network(batch.exemplar, batch.instance).float()
        return {"total": balanced_logistic(scores, score_labels(batch.target, batch.visible, self.loss))}

    @torch.no_grad()
    def locate(self, batch: LandmarkBatch) -> Tensor:
        """See `LandmarkObjective.locate`; without a cosine window."""
        factor = 16
        peaks = map_peaks(upsampled(self.network(batch.exemplar, batch.instance).float(), factor))
        return (peaks.places / factor - SCORE_SIZE // 2) * STRIDE + INSTANCE_SIZE // 2

    def weights(self) -> dict[str, Tensor]:
        """The network's."""
        return self.network.state_dict()

    def configuration(self) -> dict[str, object]:
        """The network's."""
        return {"network": asdict(self.network.config)}


def score_labels(target: Tensor, visible: Tensor, config: SiamFcLossConfig) -> Tensor:
    """(B, 17, 17) in [0, 1]: how much each cell of the answer is the place of the landmark, `target` (B, 2) in samples
    of the search window.
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
    """Mean logistic loss of scores (B, h, w), where in each sample positives weigh a half together, and negatives the
    other.
    """
    positive = labels / labels.sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    negative = (1 - labels) / (1 - labels).sum(dim=(1, 2), keepdim=True).clamp(min=1e-6)
    each = 0.5 * (positive * F.softplus(-scores) + negative * F.softplus(scores))
    return each.sum(dim=(1, 2)).mean()
