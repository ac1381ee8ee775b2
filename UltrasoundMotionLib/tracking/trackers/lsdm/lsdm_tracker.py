"""LSDM as a tracker of landmarks: motion says where to look and what to look for, the joint response where it is."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.trackers.lsdm.motion import Motion, motion_frames, to_pixels
from UltrasoundMotionLib.tracking.trackers.lsdm.network import Landmarks, Lsdm
from UltrasoundMotionLib.tracking.trackers.lsdm.tracking_branch import INSTANCE, RESPONSE, SAMPLE, STRIDE
from UltrasoundMotionLib.tracking.trackers.siamese.crops import GreyRange, standardised
from UltrasoundMotionLib.tracking.trackers.siamese.peak import upsampled, windowed_peaks
from UltrasoundMotionLib.tracking.windows.window_tracker import WindowMatches, WindowTracker
from UltrasoundMotionLib.tracking.windows.windows import cosine_window, crop_windows

_LARGEST_SIZE = 1.25
"""Largest size of a landmark relative to what motion predicts, and the inverse of the smallest."""
_APART = 4.0
"""Motion pixels from where the short motion carries a landmark to where both motions predict it from x_0. A landmark
whose response is under one half is looked for there too when that is farther: once lost, it can return.
"""


@dataclass(frozen=True)
class LsdmTrackerConfig:
    """Settings of the tracker `lsdm`; the defaults are those of the authors' code, where it has them.

    Attributes:
        interval: frames from x_{t-dt} to x_t.
        window_influence: share of the cosine window.
        upsampling: factor of the bicubic upsampling of the response (from 33 to 257 places a side).
        scales: sizes tried in each frame, relative to what motion predicts and what was found before; (1.0,) switches
            the search for scales off.
        scale_penalty: factor for the likelihood at a scale other than 1.
        scale_damping: how far the size moves towards the best one.
        visible_above: confidence under which a landmark is marked not visible. The paper has no such state.

    Raises:
        InputError: an interval under 1, a share outside of 0 to 1, no scale.
    """

    interval: int = 1
    window_influence: float = 0.176
    upsampling: int = 8
    scales: tuple[float, ...] = (1 / 1.0375, 1.0, 1.0375)
    scale_penalty: float = 0.9745
    scale_damping: float = 0.59
    visible_above: float = 0.5

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise InputError(f"interval must be at least 1 frame, got {self.interval}")
        if not 0 <= self.window_influence <= 1:
            raise InputError(f"window_influence must lie between 0 and 1, got {self.window_influence}")
        if not self.scales or min(self.scales) <= 0:
            raise InputError(f"scales must be positive numbers, at least one, got {self.scales}")


@dataclass(frozen=True)
class LsdmResult:
    """Motions and positions of N landmarks in the last frame.

    Attributes:
        positions_px: (N, 2) where they are, in pixels of the frame.
        long_displacement: (2, h, w), (x, y) pixels of the frame: what lies at p on the query frame is found at p + u(p)
            on x_{t-dt}. Sample (row, column) lies at pixel (column, row) * `step_px` + (`step_px` - 1) / 2.
        short_displacement: the same from x_{t-dt} to x_t.
        step_px: pixels of the frame from one sample to the next.
        confidence: (N,) in [0, 1].
    """

    positions_px: np.ndarray
    long_displacement: np.ndarray
    short_displacement: np.ndarray
    step_px: float
    confidence: np.ndarray


class LsdmTracker(WindowTracker):
    """Keeps the query frame, and the last `interval` frames with the landmarks' places there."""

    def __init__(self, network: Lsdm, config: LsdmTrackerConfig, device: torch.device) -> None:
        super().__init__(device, config.visible_above)
        self.config = config
        self._network = network
        self._window = cosine_window(config.upsampling * (RESPONSE - 1) + 1, device)
        self._tried = torch.tensor(config.scales, device=device)

    def _begin(self, image: Tensor) -> None:
        self._grey = GreyRange.of(image)
        image = self._grey.apply(image)
        self._query, self._motion_scale = motion_frames(image[None, None])
        self._start = self._to_motion(self._points)
        self._first = self._windows(image, self._points)
        self._recent: deque[tuple[Tensor, Tensor]] = deque([(self._query, self._points)], maxlen=self.config.interval)
        self._motion: Motion | None = None

    def _find(self, image: Tensor) -> WindowMatches:
        image = self._grey.apply(image)
        self._now, _ = motion_frames(image[None, None])
        before, places = self._recent[0]
        if len(self._recent) == 1:
            places = self._points  # with what `hold` has placed
        motion = self._motion = self._network.motion(torch.cat((self._query, before, self._now), dim=1))
        all_of_them = torch.arange(len(self._points), device=image.device)
        own = motion.of_landmarks(torch.zeros_like(all_of_them))
        carried, predicted = (
            self._inside(self._to_working(place), image)
            for place in (own.place_after(self._to_motion(places)), own.place_now(self._start))
        )
        found, likelihood, ratios = self._match(image, motion, all_of_them, carried)
        apart = torch.linalg.norm(self._to_motion(carried) - self._to_motion(predicted), dim=1)
        lost = torch.nonzero((likelihood < 0) & (apart > _APART))[:, 0]
        if len(lost):
            again = self._match(image, motion, lost, predicted[lost])
            better = again[1] > likelihood[lost]
            for values, new in zip((found, likelihood, ratios), again, strict=True):
                values[lost[better]] = new[better]
        sizes = self._sizes * torch.lerp(torch.ones_like(self._sizes), ratios, self.config.scale_damping)
        return WindowMatches(found, sizes.clamp(1 / _LARGEST_SIZE, _LARGEST_SIZE), likelihood.sigmoid())

    def _match(self, image: Tensor, motion: Motion, chosen: Tensor, middles: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Looks for landmarks `chosen` (N,) in search windows around `middles` (N, 2).

        Returns:
            Their places (N, 2), the logits of the response there (N,), and their sizes relative to before (N,).
        """
        config, frames = self.config, torch.zeros_like(chosen)
        windows = self._windows(image, middles)
        landmarks = Landmarks(frames, self._start[chosen], self._to_motion(middles), self._first[chosen], windows)
        logits = self._network.response(motion, landmarks, self._sizes[chosen, None] * self._tried).float()
        penalty = torch.where(self._tried == 1, 0.0, float(np.log(config.scale_penalty)))
        best = (logits.amax(dim=(2, 3)) + penalty).argmax(dim=1)
        answers = upsampled(logits[torch.arange(len(chosen), device=image.device), best], config.upsampling)
        peaks = windowed_peaks(answers, self._window, config.window_influence)
        shifts = (peaks.places / config.upsampling - RESPONSE // 2) * (STRIDE * SAMPLE / self._motion_scale)
        likelihood = answers.flatten(1).gather(1, peaks.cells[:, None])[:, 0]
        return middles + shifts, likelihood, self._tried[best]

    def _learn(self, image: Tensor, confidence: Tensor, seen: Tensor) -> None:
        """Keeps the frame as a later x_{t-dt}; the exemplar is the query frame's for good."""
        self._recent.append((self._now, self._points))
        self._confidence = confidence.cpu().numpy().astype(np.float64)

    @torch.inference_mode()
    def result(self) -> LsdmResult:
        """Returns the motions and positions of the last frame.

        Raises:
            InputError: there has been no update yet.
        """
        if self._motion is None:
            raise InputError("the fields exist from the first update on")
        step = 2.0**self._scale.halvings / self._motion_scale
        height, width = (-(-size // step) for size in self._scale.shape)

        def whole(displacement: Tensor) -> np.ndarray:
            return (step * to_pixels(displacement)[0, :, : int(height), : int(width)]).cpu().numpy()

        return LsdmResult(
            positions_px=self._last.positions_px,
            long_displacement=whole(self._motion.long_forward),
            short_displacement=whole(self._motion.short_forward),
            step_px=step,
            confidence=self._confidence,
        )

    @staticmethod
    def _inside(points: Tensor, image: Tensor) -> Tensor:
        limit = torch.tensor([image.shape[1] - 1.0, image.shape[0] - 1.0], device=image.device)
        return torch.minimum(points.clamp(min=0), limit)

    def _to_motion(self, points: Tensor) -> Tensor:
        return (points + 0.5) * self._motion_scale - 0.5

    def _to_working(self, points: Tensor) -> Tensor:
        return (points + 0.5) / self._motion_scale - 0.5

    def _windows(self, image: Tensor, points: Tensor) -> Tensor:
        """Cuts windows (N, 1, 256, 256), standardised."""
        steps = torch.full((len(points),), SAMPLE / self._motion_scale, device=points.device)
        return standardised(crop_windows(image, points, steps, INSTANCE, outside="mean")[:, None])
