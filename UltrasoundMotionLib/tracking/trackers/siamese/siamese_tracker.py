"""Base of the Siamese trackers: kernels of the exemplars, and search windows."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.trackers.siamese.crops import SAMPLE_PX, GreyRange, exemplar_windows, search_windows
from UltrasoundMotionLib.tracking.windows.window_tracker import WindowTracker

Kernels = tuple[Tensor, ...]
SIZE_LIMITS = (0.2, 5.0)
"""Smallest and largest size of a landmark relative to the query frame, as the code of SiamFC's authors limits it."""


@dataclass(frozen=True)
class SiameseConfig:
    """Settings of both trackers. The papers never update the exemplar: a recent share of 0.

    Attributes:
        recent_share: part of what is searched for that is not the exemplar of the query frame but a mean of recent
            ones, ...
        recent_rate: ... which moves towards each new frame by so much, ...
        learn_above: ... where the landmark is believed more than this.
        window_influence: share of the cosine window.
        visible_above: confidence under which a landmark is marked not visible. The papers have no such state.

    Raises:
        InputError: a share or rate outside of 0 to 1.
    """

    recent_share: float = 0.0
    recent_rate: float = 0.1
    learn_above: float = 0.7
    window_influence: float = 0.0
    visible_above: float = 0.5

    def __post_init__(self) -> None:
        for name in ("recent_share", "recent_rate", "window_influence"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")


class SiameseTracker(WindowTracker):
    """Keeps the kernels of each landmark's exemplar on the query frame and, if asked for, of recent frames."""

    config: SiameseConfig

    def __init__(self, config: SiameseConfig, device: torch.device) -> None:
        super().__init__(device, config.visible_above)
        self.config = config

    @abstractmethod
    def _describe(self, exemplars: Tensor) -> Kernels:
        """Computes the kernels of exemplars (N, 1, 127, 127); each tensor begins with N."""

    def _begin(self, image: Tensor) -> None:
        self._grey = GreyRange.of(image)
        self._first = self._kernels = self._recent = self._look(image)

    def _look(self, image: Tensor) -> Kernels:
        return self._describe(
            exemplar_windows(self._grey.apply(image), self._points, self._sizes * self._scale.unit * SAMPLE_PX)
        )

    def _search(self, image: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """Cuts search windows (N S, 1, 255, 255) around N landmarks at S relative `sizes`, and gives the working pixels
        (N, S) between their samples.
        """
        steps = (self._sizes[:, None] * sizes) * (self._scale.unit * SAMPLE_PX)
        points = self._points.repeat_interleave(len(sizes), dim=0)
        return search_windows(self._grey.apply(image), points, steps.flatten()), steps

    def _learn(self, image: Tensor, confidence: Tensor, seen: Tensor) -> None:
        config = self.config
        if config.recent_share == 0:
            return
        rates = config.recent_rate * (seen & (confidence > config.learn_above))
        pairs = zip(self._recent, self._look(image), strict=True)
        self._recent = tuple(torch.lerp(old, new, _rows(rates, old)) for old, new in pairs)
        self._kernels = tuple(
            torch.lerp(first, recent, config.recent_share)
            for first, recent in zip(self._first, self._recent, strict=True)
        )


def _rows(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *(1,) * (like.ndim - 1))
