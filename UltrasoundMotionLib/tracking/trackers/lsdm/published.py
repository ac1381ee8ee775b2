"""LSDM's response alone: its peak in every frame; motion guides the exemplar only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.trackers.lsdm.network import CELL, Lsdm
from UltrasoundMotionLib.tracking.trackers.lsdm.search import LsdmResult, LsdmSearch
from UltrasoundMotionLib.tracking.trackers.lsdm.siamese import find_peak
from UltrasoundMotionLib.tracking.windows.window_tracker import WindowMatches, WindowTracker

VISIBLE_ABOVE = 0.3
"""Confidence under which a landmark is marked not visible. The paper has no such state."""


class LsdmPublishedTracker(WindowTracker):
    """Tracks in windows that lie where the landmarks were found on the frame before; `interval` frames lie between
    x_{t-dt} and x_t.
    """

    def __init__(self, network: Lsdm, device: torch.device, interval: int = 1) -> None:
        super().__init__(device, VISIBLE_ABOVE)
        self._search = LsdmSearch(network, interval)

    def _begin(self, image: Tensor) -> None:
        self._search.start(image, self._points, self._scale)

    def _find(self, image: Tensor) -> WindowMatches:
        shift, highest = find_peak(self._search.look(image, self._points))
        return WindowMatches(self._points + CELL * self._scale.unit * shift, self._sizes, torch.sigmoid(highest))

    def _learn(self, image: Tensor, confidence: Tensor, seen: Tensor) -> None:
        """Learns nothing: the exemplar is the query frame's."""
        self._confidence = confidence.cpu().numpy().astype(np.float64)

    @torch.inference_mode()
    def result(self) -> LsdmResult:
        """Returns the motions and positions of the last frame.

        Raises:
            InputError: there has been no update yet.
        """
        return self._search.result(self._last.positions_px, self._last.confidence)
