"""SiamFC as a tracker (Bertinetto et al., ECCV workshops 2016, Sec. 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.trackers.siamese.network import SCORE_SIZE, STRIDE
from UltrasoundMotionLib.tracking.trackers.siamese.peak import upsampled, windowed_peaks
from UltrasoundMotionLib.tracking.trackers.siamese.siamese_tracker import (
    SIZE_LIMITS,
    Kernels,
    SiameseConfig,
    SiameseTracker,
)
from UltrasoundMotionLib.tracking.trackers.siamese.siamfc_network import SiamFcNetwork
from UltrasoundMotionLib.tracking.windows.window_tracker import WindowMatches
from UltrasoundMotionLib.tracking.windows.windows import cosine_window


@dataclass(frozen=True)
class SiamFcConfig(SiameseConfig):
    """Settings of SiamFC; the defaults are the paper's, or where it gives none those of the authors' code, but for the
    single size (`siamfc_published`).

    Attributes:
        window_influence: share of the cosine window (the code's 0.176).
        upsampling: factor of the bicubic upsampling of the answer (from 17 to 272, so 16).
        sizes: relative sizes tried; the paper's are 1.0375 to the powers of -1, 0 and 1. One by default: a probe's
            depth stays.
        size_penalty: factor for the answer at a size other than 1 (the code's 0.9745).
        size_damping: how far the size moves towards the best one (the code's 0.59).
    """

    window_influence: float = 0.176
    upsampling: int = 16
    sizes: tuple[float, ...] = (1.0,)
    size_penalty: float = 0.9745
    size_damping: float = 0.59


PUBLISHED = SiamFcConfig(sizes=(1 / 1.0375, 1.0, 1.0375))
"""All of the paper's settings, its three sizes included."""


class SiamFcTracker(SiameseTracker):
    """Places each landmark at the peak of the upsampled response, with a preference for the middle."""

    config: SiamFcConfig

    def __init__(self, network: SiamFcNetwork, config: SiamFcConfig, device: torch.device) -> None:
        super().__init__(config, device)
        self._network = network
        self._window = cosine_window(config.upsampling * (SCORE_SIZE - 1) + 1, device)
        self._tried = torch.tensor(config.sizes, device=device)

    def _describe(self, exemplars: Tensor) -> Kernels:
        return (self._network.kernels(exemplars),)

    def _find(self, image: Tensor) -> WindowMatches:
        config, count, several = self.config, len(self._points), len(self._tried)
        windows, steps = self._search(image, self._tried)
        scores = self._network.scores(self._kernels[0].repeat_interleave(several, dim=0), windows)
        maps = upsampled(scores, config.upsampling).unflatten(0, (count, several))
        best = (maps.amax(dim=(2, 3)) * torch.where(self._tried == 1, 1.0, config.size_penalty)).argmax(dim=1)
        rows = torch.arange(count, device=image.device)
        answers = maps[rows, best]
        peaks = windowed_peaks(answers, self._window, config.window_influence)
        shifts = (peaks.places / config.upsampling - SCORE_SIZE // 2) * STRIDE
        confidence = answers.flatten(1).gather(1, peaks.cells[:, None])[:, 0].sigmoid()
        sizes = self._sizes * torch.lerp(torch.ones_like(self._sizes), self._tried[best], config.size_damping)
        sizes = sizes.clamp(*SIZE_LIMITS)
        return WindowMatches(self._points + shifts * steps[rows, best][:, None], sizes, confidence)
