"""LSDM's network in frame after frame: windows around the landmarks, both motions, the response."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.trackers.lsdm.network import WINDOW, Decoded, Look, Lsdm, exemplar_window, to_pixels
from UltrasoundMotionLib.tracking.trackers.siamese.crops import GreyRange, standardised
from UltrasoundMotionLib.tracking.windows.windows import crop_windows
from UltrasoundMotionLib.tracking.working_scale import WorkingScale


@dataclass(frozen=True)
class LsdmResult:
    """Motions and positions of N landmarks in the last frame.

    Attributes:
        positions_px: (N, 2) where they are, in pixels of the frame.
        long_displacement: (N, 2, 128, 128), (x, y) pixels of the frame: what lies at p on the query frame is found at p
            + u(p) on this one. Sample (64, 64) lies at the landmark on the query frame, samples are `step_px` apart.
        short_displacement: the same from x_{t-dt}; sample (64, 64) lies at `short_middle_px` there.
        short_middle_px: (N, 2), where the landmark was expected on x_{t-dt}.
        step_px: pixels of the frame from one sample to the next.
        confidence: (N,) in [0, 1].
    """

    positions_px: np.ndarray
    long_displacement: np.ndarray
    short_displacement: np.ndarray
    short_middle_px: np.ndarray
    step_px: float
    confidence: np.ndarray


@dataclass(frozen=True)
class _Seen:
    """Features of one frame's windows, and the windows' middles (N, 2) in working pixels."""

    look: Look
    middles: Tensor


class LsdmSearch:
    """Keeps the features of the query frame and of the last `interval` frames; images and points in working pixels
    (`WorkingScale`).
    """

    def __init__(self, network: Lsdm, interval: int) -> None:
        self._network, self._interval = network, interval

    def start(self, image: Tensor, points: Tensor, scale: WorkingScale) -> None:
        """Computes the features of landmarks (N, 2) on the query frame (h, w)."""
        self._scale, self._grey = scale, GreyRange.of(image)
        windows = self._windows(image, points)
        self._exemplar = self._network.features.early(exemplar_window(windows))
        self._first = _Seen(self._network.look(windows), points)
        self._recent: deque[_Seen] = deque([self._first], maxlen=self._interval)
        self._answer: tuple[Decoded, _Seen, _Seen] | None = None

    def look(self, image: Tensor, points: Tensor) -> Tensor:
        """Computes the response's logits (N, 33, 33) in the next frame, whose windows lie around `points` (N, 2)."""
        now, before = _Seen(self._network.look(self._windows(image, points)), points), self._recent[0]
        decoded = self._network.decode(self._first.look, before.look, now.look)
        self._answer = (decoded, before, now)
        self._recent.append(now)
        return self._network.response(self._exemplar, decoded, now.look)

    def result(self, positions_px: np.ndarray, confidence: np.ndarray) -> LsdmResult:
        """Returns the result of the last frame, with the positions of a tracker. The motions are computed here, not in
        every frame.

        Raises:
            InputError: there has been no update yet.
        """
        if self._answer is None:
            raise InputError("the fields exist from the first update on")
        decoded, before, now = self._answer
        motion = self._network.motion(decoded, self._first.look, before.look, now.look)
        scale = float(2**self._scale.halvings)

        def whole(velocity: Tensor, start: Tensor) -> np.ndarray:
            left = to_pixels(self._network.displacement(velocity)) * self._scale.unit
            return (scale * (left + (now.middles - start)[:, :, None, None])).cpu().numpy()

        return LsdmResult(
            positions_px=positions_px,
            long_displacement=whole(motion.long, self._first.middles),
            short_displacement=whole(motion.short, before.middles),
            short_middle_px=self._scale.to_frame(before.middles.cpu().numpy()),
            step_px=scale * self._scale.unit,
            confidence=confidence,
        )

    def _windows(self, image: Tensor, points: Tensor) -> Tensor:
        """Cuts windows (N, 1, 128, 128), standardised."""
        steps = torch.full((len(points),), self._scale.unit, device=points.device)
        return standardised(crop_windows(self._grey.apply(image), points, steps, WINDOW, outside="mean")[:, None])
