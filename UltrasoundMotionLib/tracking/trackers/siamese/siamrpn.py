"""SiamRPN as a tracker (Li et al., CVPR 2018, Sec. 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.trackers.siamese.crops import SAMPLE_PX, TARGET_PX
from UltrasoundMotionLib.tracking.trackers.siamese.network import SCORE_SIZE, STRIDE
from UltrasoundMotionLib.tracking.trackers.siamese.peak import upsampled, windowed_peaks
from UltrasoundMotionLib.tracking.trackers.siamese.siamese_tracker import (
    SIZE_LIMITS,
    Kernels,
    SiameseConfig,
    SiameseTracker,
)
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import RpnAnswer, RpnKernels, SiamRpnNetwork
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_proposals import (
    ProposalConfig,
    overall_size,
    ranked_proposals,
)
from UltrasoundMotionLib.tracking.windows.window_tracker import WindowMatches
from UltrasoundMotionLib.tracking.windows.windows import cosine_window


@dataclass(frozen=True)
class SiamRpnConfig(SiameseConfig):
    """Settings of SiamRPN. The paper describes these and gives few values; the others are those of its authors' later
    code (DaSiamRPN).

    Attributes:
        window_influence: share of the cosine window (0.4).
        size_penalty: against proposals of another size or ratio (0.055).
        reach: cells from the middle up to which proposals count, as published 3; None: all.
        upsampling: 0 places the landmark at the centre of the best proposal, as published. Else where the upsampled
            score, mixed with the window as SiamFC does, is highest: the correction of a box of nominal size knows
            little of where its middle is.
        size_rate: how far the landmark's width and height move towards the proposal's, times its score and its penalty
            (0.3); 0 keeps them: a probe's depth stays.
    """

    window_influence: float = 0.4
    size_penalty: float = 0.055
    reach: int | None = None
    upsampling: int = 0
    size_rate: float = 0.0


PUBLISHED = SiamRpnConfig(reach=3, size_rate=0.3)
"""The authors' settings: proposals near the middle, and a width and height that follow the best one."""


class SiamRpnTracker(SiameseTracker):
    """Places each landmark by its proposals."""

    config: SiamRpnConfig

    def __init__(self, network: SiamRpnNetwork, config: SiamRpnConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self._network = network
        self._anchors = network.anchors(device)
        self._window = cosine_window(SCORE_SIZE, device)
        self._fine_window = cosine_window(max(1, config.upsampling) * (SCORE_SIZE - 1) + 1, device)
        self._proposals = ProposalConfig(config.reach, config.window_influence, config.size_penalty)

    def _begin(self, image: Tensor) -> None:
        super()._begin(image)
        self._shapes = torch.ones_like(self._points)  # width and height, relative to the nominal side

    def _describe(self, exemplars: Tensor) -> Kernels:
        kernels = self._network.kernels(exemplars)
        return kernels.score, kernels.box

    def _find(self, image: Tensor) -> WindowMatches:
        windows, steps = self._search(image, torch.ones(1, device=image.device))
        answer = self._network.answer(RpnKernels(*self._kernels), windows)
        if self.config.upsampling:
            return self._by_score(answer, steps)
        return self._by_proposal(answer, steps)

    def _by_score(self, answer: RpnAnswer, steps: Tensor) -> WindowMatches:
        """Places landmarks at the highest upsampled score; their sizes stay."""
        logits = (answer.logits[:, :, 1] - answer.logits[:, :, 0]).amax(dim=1)
        maps = upsampled(logits, self.config.upsampling)
        peaks = windowed_peaks(maps, self._fine_window, self.config.window_influence)
        shifts = (peaks.places / self.config.upsampling - SCORE_SIZE // 2) * STRIDE
        scores = maps.flatten(1).gather(1, peaks.cells[:, None])[:, 0].sigmoid()
        return WindowMatches(self._points + shifts * steps, self._sizes, scores)

    def _by_proposal(self, answer: RpnAnswer, steps: Tensor) -> WindowMatches:
        """Places landmarks at the centres of their best proposals, and lets their shapes follow."""
        nominal = TARGET_PX / SAMPLE_PX
        samples = nominal / self._sizes[:, None]  # a nominal side in samples: the search window grows with the landmark
        found = ranked_proposals(answer, self._anchors, self._proposals, self._shapes * samples, self._window)
        box, score = found.boxes[:, 0], found.scores[:, 0]
        rate = (self.config.size_rate * score * found.penalties[:, 0])[:, None]
        shapes = torch.lerp(self._shapes, box[:, 2:] / samples, rate).clamp(*SIZE_LIMITS)
        self._shapes = torch.where(self._held[:, None], self._shapes, shapes)
        sizes = overall_size(self._shapes[:, 0], self._shapes[:, 1]) / 2
        return WindowMatches(self._points + box[:, :2] * steps, sizes, score)
