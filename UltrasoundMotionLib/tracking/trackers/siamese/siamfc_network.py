"""SiamFC's network: similarity of the landmark and each place of the search window (Bertinetto et al. 2016, Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.trackers.siamese.crops import standardised
from UltrasoundMotionLib.tracking.trackers.siamese.network import EmbeddingConfig, SiameseEmbedding, correlate


@dataclass(frozen=True)
class SiamFcNetworkConfig:
    """Width of the network."""

    embedding: EmbeddingConfig = field(default_factory=lambda: EmbeddingConfig(groups=2))


class SiamFcNetwork(nn.Module):
    """Embedding phi and response f(z, x) = g phi(z) * phi(x) + b, whose sigmoid is the probability that the landmark is
    there.
    """

    def __init__(self, config: SiamFcNetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or SiamFcNetworkConfig()
        self.embedding = SiameseEmbedding(self.config.embedding)
        self.gain = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(()))

    def kernels(self, exemplars: Tensor) -> Tensor:
        """Computes kernels (N, 1, C, 6, 6) of exemplars (N, 1, 127, 127)."""
        return self.embedding(standardised(exemplars))[:, None]

    def scores(self, kernels: Tensor, windows: Tensor) -> Tensor:
        """Computes logits (N, 17, 17) for search windows (N, 1, 255, 255)."""
        return self.gain * correlate(kernels, self.embedding(standardised(windows)))[:, 0] + self.bias

    def forward(self, exemplars: Tensor, windows: Tensor) -> Tensor:
        """Computes logits (N, 17, 17) of exemplars and search windows."""
        return self.scores(self.kernels(exemplars), windows)
