"""SiamFC's network: how alike the landmark and each place of the search window are (Bertinetto et al. 2016, Eq. 1)."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.trackers.siamese.crops import standardised
from UltrasoundMotionLib.tracking.trackers.siamese.network import EmbeddingConfig, SiameseEmbedding, correlate


@dataclass(frozen=True)
class SiamFcNetworkConfig:
    """The network's only choice is its width."""

    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)


class SiamFcNetwork(nn.Module):
    """The embedding phi and f(z, x) = g phi(z) * phi(x) + b, whose sigmoid is the chance that the landmark is there."""

    def __init__(self, config: SiamFcNetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config or SiamFcNetworkConfig()
        self.embedding = SiameseEmbedding(self.config.embedding)
        self.gain = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(()))

    def kernels(self, exemplars: Tensor) -> Tensor:
        """(N, 1, C, 6, 6) what is kept of exemplars (N, 1, 127, 127)."""
        return self.embedding(standardised(exemplars))[:, None]

    def scores(self, kernels: Tensor, windows: Tensor) -> Tensor:
        """(N, 17, 17) logits for search windows (N, 1, 255, 255)."""
        return self.gain * correlate(kernels, self.embedding(standardised(windows)))[:, 0] + self.bias

    def forward(self, exemplars: Tensor, windows: Tensor) -> Tensor:
        """Logits (N, 17, 17) of exemplars and search windows."""
        return self.scores(self.kernels(exemplars), windows)
