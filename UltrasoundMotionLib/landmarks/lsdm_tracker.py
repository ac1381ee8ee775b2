"""LSDM as a tracker of landmarks: its network in every frame, its three answers fused, its two deformation fields on demand."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields.warping import warp
from UltrasoundMotionLib.landmarks.lsdm_fusion import Belief, FusionConfig, corrected, patch_odds, patch_variance, predicted, read_response
from UltrasoundMotionLib.landmarks.lsdm_network import CELL, WINDOW, Look, Lsdm, Motion, at_landmark, at_place, exemplar_window, to_pixels
from UltrasoundMotionLib.landmarks.lsdm_refinement import patches, refined
from UltrasoundMotionLib.landmarks.lsdm_siamese import find_peak
from UltrasoundMotionLib.landmarks.siamese_crops import GreyRange, standardised
from UltrasoundMotionLib.landmarks.window_tracker import Found, WindowTracker
from UltrasoundMotionLib.landmarks.windows import crop_windows
from UltrasoundMotionLib.similarity.local_cross_correlation import lncc_map


@dataclass(frozen=True)
class LsdmTrackerConfig:
    """How the network is used.

    Attributes:
        interval: frames from x_{t-dt} to x_t.
        fused: False takes the response's peak alone, as published.
        likeness_px: side of the window in which carried windows are compared, in pixels of a frame whose longer side has 256.
        visible_above: confidence under which a landmark is marked not visible. The paper has no such state.
        fusion: see there.
    """

    interval: int = 1
    fused: bool = True
    likeness_px: int = 21
    visible_above: float = 0.3
    fusion: FusionConfig = field(default_factory=FusionConfig)

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise InputError(f"interval must be at least 1 frame, got {self.interval}")


@dataclass(frozen=True)
class LsdmResult:
    """All that LSDM says of the last frame, for N landmarks.

    Attributes:
        positions_px: (N, 2) where they are, in pixels of the frame.
        long_displacement: (N, 2, 128, 128), (x, y) pixels of the frame: what lies at p on the query frame is found at p + u(p) on this one.
            Sample (64, 64) lies at the landmark on the query frame, samples are `step_px` apart.
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
    """One frame's windows: what the network saw, in working pixels their middles (N, 2) and where the landmarks were found (N, 2), patches there."""

    look: Look
    middles: Tensor
    points: Tensor
    patches: Tensor


class LsdmTracker(WindowTracker):
    """Keeps what the network saw of the query frame and of the last `interval` frames."""

    def __init__(self, network: Lsdm, config: LsdmTrackerConfig, device: torch.device) -> None:
        super().__init__(device, config.visible_above)
        self.config = config
        self._network = network

    def _windows(self, image: Tensor, points: Tensor) -> Tensor:
        """(N, 1, 128, 128), standardised."""
        steps = torch.full((len(points),), self._scale.unit, device=points.device)
        return standardised(crop_windows(self._grey.apply(image), points, steps, WINDOW, outside="mean")[:, None])

    def _patches(self, image: Tensor) -> Tensor:
        return patches(image, self._points, self._scale.unit, self.config.fusion.patch_px)

    def _begin(self, image: Tensor) -> None:
        self._grey = GreyRange.of(image)
        self._first = self._windows(image, self._points)
        self._exemplar = self._network.features.early(exemplar_window(self._first))
        self._start = _Seen(self._network.look(self._first), self._points, self._points, self._patches(image))
        self._recent: deque[_Seen] = deque([self._start], maxlen=self.config.interval)
        self._usual = self._points
        self._variance = torch.full((len(self._points),), 0.01, device=self._device)
        self._answer: tuple[Motion, _Seen, Tensor] | None = None

    def _find(self, image: Tensor) -> Found:
        network, unit, before = self._network, self._scale.unit, self._recent[0]
        self._windows_now = self._windows(image, self._points)
        self._now = network.look(self._windows_now)
        motion = network.motion(self._start.look, before.look, self._now)
        logits = network.response(self._exemplar, motion, self._now)
        self._answer = (motion, before, self._points)
        if not self.config.fused:
            shift, highest = find_peak(logits)
            return Found(self._points + CELL * unit * shift, self._sizes, torch.sigmoid(highest))
        belief, confidence = self._fused(motion, logits, image, before)
        self._found_variance = belief.variance
        return Found(self._points + unit * belief.points, self._sizes, confidence)

    def _fused(self, motion: Motion, logits: Tensor, image: Tensor, before: _Seen) -> tuple[Belief, Tensor]:
        """Places in pixels from the windows' middle, and the confidence."""
        config, network, unit = self.config.fusion, self._network, self._scale.unit
        start, expected = (before.points - before.middles) / unit, before.points
        if config.motion_trust > 0:
            carried = self._points + unit * (start + at_place(network.displacement(motion.short), start))
            expected = torch.lerp(expected, carried, config.motion_trust)
        found = refined(before.patches, image, expected, unit, config.short_radius)
        belief = predicted(Belief(start, self._variance), self._inside_windows(found.points), found.there, config)

        answer = read_response(logits, belief, config)
        odds = config.response_readiness + config.response_weight * (answer.there - answer.expected)
        belief = corrected(belief, answer.points, config.response_deviation**2, odds, config)

        long = network.displacement(motion.long)
        odds = config.field_readiness + config.field_slope * (self._likeness(long) - config.field_likeness)
        belief = corrected(belief, at_landmark(long), config.field_deviation**2, odds, config)

        found = refined(self._start.patches, image, self._points + unit * belief.points, unit, config.long_radius)
        spread = patch_variance(found.there, config.long_floor, config)
        belief = corrected(belief, self._inside_windows(found.points), spread, patch_odds(found.there, found.expected, config), config)
        return belief, torch.sigmoid(answer.there)

    def _inside_windows(self, points: Tensor) -> Tensor:
        """Working pixels as pixels from the windows' middle."""
        return (points - self._points) / self._scale.unit

    def _likeness(self, long: Tensor) -> Tensor:
        """Squared correlation (N,) of x_0's windows with x_t's carried there, around the landmark."""
        half = self.config.likeness_px // 2
        middle = slice(WINDOW // 2 - half, WINDOW // 2 + half + 1)
        carried = warp(self._windows_now, to_pixels(long)[..., middle, middle] + middle.start)
        return lncc_map(self._first[..., middle, middle], carried, 9).mean(dim=(1, 2, 3))

    def _learn(self, image: Tensor, confidence: Tensor, seen: Tensor) -> None:
        if self.config.fused:
            self._remember(confidence, seen)
        self._confidence = confidence
        self._recent.append(_Seen(self._now, self._answer[2], self._points, self._patches(image)))

    def _remember(self, confidence: Tensor, seen: Tensor) -> None:
        """Updates uncertainties and usual places; landmarks out of sight go back towards theirs."""
        config = self.config.fusion
        sighted = seen & (confidence >= config.lost_below)
        self._usual = torch.lerp(self._usual, self._points, config.usual_rate * sighted[:, None])
        astray = (seen & ~sighted)[:, None]
        self._points = torch.lerp(self._points, self._usual, config.return_rate * astray)
        grown = (torch.where(seen, self._found_variance, self._variance) + 1.0).clamp(max=config.largest_deviation**2)
        self._variance = torch.where(sighted, self._found_variance, grown)

    @torch.inference_mode()
    def result(self) -> LsdmResult:
        """Of the last frame.

        Raises:
            InputError: there has been no update yet.
        """
        if self._answer is None:
            raise InputError("the fields exist from the first update on")
        motion, before, middles = self._answer
        scale = float(2**self._scale.halvings)

        def whole(velocity: Tensor, start: Tensor) -> np.ndarray:
            left = to_pixels(self._network.displacement(velocity)) * self._scale.unit
            return (scale * (left + (middles - start)[:, :, None, None])).cpu().numpy()

        return LsdmResult(
            positions_px=self._scale.to_frame(self._points),
            long_displacement=whole(motion.long, self._start.middles),
            short_displacement=whole(motion.short, before.middles),
            short_middle_px=self._scale.to_frame(before.middles),
            step_px=scale * self._scale.unit,
            confidence=self._confidence.cpu().numpy().astype(np.float64),
        )
