"""SiamRPN's network: a region proposal network whose kernels are made from the landmark (Li et al., CVPR 2018, Sec. 3).

"Up-channel" correlation: one convolution makes 2k kernels from the exemplar's features, one for target and one for
background of each of k anchors, another makes 4k for the anchor's correction; each is correlated with the search
window's features, themselves convolved once more.

The paper begins with an embedding that knows ImageNet; ours may begin with SiamFC's (`train siamrpn --start-from`). The
head begins as SiamFC's answer: both convolutions for the score alike, so that their correlation is one of like with
like, which up-channel kernels drawn at random are not; and the scores have, as the boxes have, a 1 x 1 convolution
behind them, for a bias.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from UltrasoundMotionLib.tracking.trackers.siamese.crops import standardised
from UltrasoundMotionLib.tracking.trackers.siamese.network import (
    SCORE_SIZE,
    STRIDE,
    EmbeddingConfig,
    SiameseEmbedding,
    correlate,
)

KERNEL = 4  # 6 x 6 features through a 3 x 3 convolution


@dataclass(frozen=True)
class SiamRpnNetworkConfig:
    """Widths and anchors of the network.

    Attributes:
        embedding: see there.
        head_channels: of the features that are correlated; an eighth of the paper's 256, since up-channel kernels of a
            quarter would have more than a million weights.
        anchor_ratios: height over width of each anchor; by default the paper's.
        anchor_side: side of a square anchor in samples of the search window: the paper's 8 strides, and a landmark's
            nominal side is 63.5.
    """

    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)
    head_channels: int = 32
    anchor_ratios: tuple[float, ...] = (0.33, 0.5, 1.0, 2.0, 3.0)
    anchor_side: float = 64.0


@dataclass(frozen=True)
class RpnKernels:
    """Kernels of N exemplars: score (N, 2k, C, 4, 4) and box (N, 4k, C, 4, 4)."""

    score: Tensor
    box: Tensor

    def repeated(self, times: int) -> RpnKernels:
        """Repeats each landmark's kernels `times` times in a row."""
        return RpnKernels(self.score.repeat_interleave(times, dim=0), self.box.repeat_interleave(times, dim=0))


@dataclass(frozen=True)
class RpnAnswer:
    """Proposals in N search windows for k anchors: logits (N, k, 2, 17, 17), background and target; boxes (N, k, 4, 17,
    17), the corrections of Eq. 8.
    """

    logits: Tensor
    boxes: Tensor


class SiamRpnNetwork(nn.Module):
    """Region proposal network whose kernels are made from the exemplar."""

    def __init__(self, config: SiamRpnNetworkConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or SiamRpnNetworkConfig()
        anchors, features, width = len(config.anchor_ratios), config.embedding.channels[-1], config.head_channels
        self.embedding = SiameseEmbedding(config.embedding)
        self.exemplar_score = nn.Conv2d(features, 2 * anchors * width, 3)
        self.exemplar_box = nn.Conv2d(features, 4 * anchors * width, 3)
        self.window_score = nn.Conv2d(features, width, 3)
        self.window_box = nn.Conv2d(features, width, 3)
        self.adjust_score = nn.Conv2d(2 * anchors, 2 * anchors, 1)
        self.adjust_box = nn.Conv2d(4 * anchors, 4 * anchors, 1)
        self._begin_as_siamese()

    @torch.no_grad()
    def _begin_as_siamese(self) -> None:
        """Sets the target's kernels to the window's features, the background's to their opposite."""
        like = self.window_score.weight
        self.exemplar_score.weight.copy_(
            torch.stack([-like, like]).repeat(len(self.config.anchor_ratios), 1, 1, 1, 1).flatten(0, 1)
        )
        self.adjust_score.weight.copy_(torch.eye(len(self.adjust_score.weight))[:, :, None, None])
        for layer in (self.exemplar_score, self.window_score, self.adjust_score):
            nn.init.zeros_(layer.get_parameter("bias"))

    def kernels(self, exemplars: Tensor) -> RpnKernels:
        """Computes the kernels of exemplars (N, 1, 127, 127)."""
        features = self.embedding(standardised(exemplars))
        shape = (len(features), -1, self.config.head_channels, KERNEL, KERNEL)
        return RpnKernels(self.exemplar_score(features).reshape(shape), self.exemplar_box(features).reshape(shape))

    def answer(self, kernels: RpnKernels, windows: Tensor) -> RpnAnswer:
        """Computes the proposals in search windows (N, 1, 255, 255)."""
        features = self.embedding(standardised(windows))
        logits = self.adjust_score(correlate(kernels.score, self.window_score(features)))
        boxes = self.adjust_box(correlate(kernels.box, self.window_box(features)))
        anchors = len(self.config.anchor_ratios)
        return RpnAnswer(logits.unflatten(1, (anchors, 2)), boxes.unflatten(1, (anchors, 4)))

    def forward(self, exemplars: Tensor, windows: Tensor) -> RpnAnswer:
        """Computes the proposals for exemplars and search windows."""
        return self.answer(self.kernels(exemplars), windows)

    def anchors(self, device: torch.device) -> Tensor:
        """Anchors (k, 4, 17, 17): x, y from the window's middle, width, height, all in its samples."""
        place = STRIDE * (torch.arange(SCORE_SIZE, device=device, dtype=torch.float32) - SCORE_SIZE // 2)
        y, x = torch.meshgrid(place, place, indexing="ij")
        sides = [
            (self.config.anchor_side / ratio**0.5, self.config.anchor_side * ratio**0.5)
            for ratio in self.config.anchor_ratios
        ]
        return torch.stack(
            [torch.stack([x, y, torch.full_like(x, width), torch.full_like(x, height)]) for width, height in sides]
        )


def corrected(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Applies corrections (N, k, 4, ...) to anchors (k, 4, ...): (N, k, 4, ...) (Eq. 12)."""
    centre = anchors[:, :2] + boxes[:, :, :2] * anchors[:, 2:]
    return torch.cat([centre, anchors[:, 2:] * boxes[:, :, 2:].clamp(-2, 2).exp()], dim=2)


def corrections(anchors: Tensor, truth: Tensor) -> Tensor:
    """Computes the corrections (N, k, 4, ...) that bring anchors (k, 4, ...) onto boxes (N, 4) (Eq. 8)."""
    wanted = truth.reshape(len(truth), 1, 4, *(1,) * (anchors.ndim - 2))
    return torch.cat(
        [(wanted[:, :, :2] - anchors[:, :2]) / anchors[:, 2:], (wanted[:, :, 2:] / anchors[:, 2:]).log()], dim=2
    )


def overlap(anchors: Tensor, truth: Tensor) -> Tensor:
    """Computes the intersection over union (N, k, ...) of anchors (k, 4, ...) and boxes (N, 4)."""
    wanted = truth.reshape(len(truth), 1, 4, *(1,) * (anchors.ndim - 2))
    low = torch.maximum(anchors[:, :2] - anchors[:, 2:] / 2, wanted[:, :, :2] - wanted[:, :, 2:] / 2)
    high = torch.minimum(anchors[:, :2] + anchors[:, 2:] / 2, wanted[:, :, :2] + wanted[:, :, 2:] / 2)
    common = (high - low).clamp(min=0).prod(dim=2)
    return common / (anchors[:, 2:].prod(dim=1) + wanted[:, :, 2:].prod(dim=2) - common)
