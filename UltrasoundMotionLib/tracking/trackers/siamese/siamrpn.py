"""SiamRPN as a tracker (Li et al., CVPR 2018, Sec. 3.4)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.trackers.siamese.crops import SAMPLE_PX, TARGET_PX
from UltrasoundMotionLib.tracking.trackers.siamese.network import SCORE_SIZE, STRIDE
from UltrasoundMotionLib.tracking.trackers.siamese.peak import upsampled, windowed_peaks
from UltrasoundMotionLib.tracking.trackers.siamese.siamese_tracker import Kernels, SiameseConfig, SiameseTracker
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import (
    RpnKernels,
    SiamRpnNetwork,
)
from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_proposals import ProposalConfig, best_boxes
from UltrasoundMotionLib.tracking.windows.window_tracker import WindowMatches
from UltrasoundMotionLib.tracking.windows.windows import cosine_window


@dataclass(frozen=True)
class SiamRpnConfig(SiameseConfig):
    """Settings of SiamRPN; the paper describes these without giving values, which are those of the authors' later code
    (DaSiamRPN).

    Attributes:
        window_influence: share of the cosine window (0.4).
        size_penalty: against proposals of another size or ratio (0.055).
        upsampling: 0 places the landmark at the centre of the best proposal, as published. Else where the upsampled
            score, mixed with the window as SiamFC does, is highest: the correction of a box of nominal size knows
            little of where its middle is.
        mean_radius: proposals within so many cells of the best are averaged, see `ProposalConfig`.
        size_rate: how far the landmark's size moves towards the proposal's, times its score (0.3); 0 keeps it: a
            probe's depth stays.
    """

    window_influence: float = 0.4
    size_penalty: float = 0.055
    upsampling: int = 0
    mean_radius: int = 1
    size_rate: float = 0.0


PUBLISHED = SiamRpnConfig(mean_radius=0, size_rate=0.3)
"""The authors' settings: the best proposal alone, and a size that follows it."""


class SiamRpnTracker(SiameseTracker):
    """Places each landmark by its proposals."""

    config: SiamRpnConfig

    def __init__(self, network: SiamRpnNetwork, config: SiamRpnConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self._network = network
        self._anchors = network.anchors(device)
        self._window = cosine_window(SCORE_SIZE, device)
        self._fine_window = cosine_window(max(1, config.upsampling) * (SCORE_SIZE - 1) + 1, device)
        self._proposals = ProposalConfig(config.window_influence, config.size_penalty, config.mean_radius)

    def _describe(self, exemplars: Tensor) -> Kernels:
        kernels = self._network.kernels(exemplars)
        return kernels.score, kernels.box

    def _find(self, image: Tensor) -> WindowMatches:
        windows, steps = self._search(image, torch.ones(1, device=image.device))
        answer = self._network.answer(RpnKernels(*self._kernels), windows)
        nominal = TARGET_PX / SAMPLE_PX
        sides = torch.full((len(windows),), nominal, device=image.device)  # the search window grows with the landmark
        found = best_boxes(answer, self._anchors, self._proposals, sides, self._window)
        grown = found.boxes[:, 2:].prod(dim=1).sqrt() / nominal
        sizes = self._sizes * torch.lerp(torch.ones_like(grown), grown, self.config.size_rate * found.scores)
        if self.config.upsampling == 0:
            return WindowMatches(self._points + found.boxes[:, :2] * steps, sizes, found.scores)
        logits = (answer.logits[:, :, 1] - answer.logits[:, :, 0]).amax(dim=1)
        maps = upsampled(logits, self.config.upsampling)
        peaks = windowed_peaks(maps, self._fine_window, self.config.window_influence)
        shifts = (peaks.places / self.config.upsampling - SCORE_SIZE // 2) * STRIDE
        scores = maps.flatten(1).gather(1, peaks.cells[:, None])[:, 0].sigmoid()
        return WindowMatches(self._points + shifts * steps, sizes, scores)
