"""Follows points with a short and a long memory, fused by their uncertainty.

Short memory (template of the previous frame): matches well, because speckle has had no time to change, but its small errors
add up to drift. Long memory (template of the query frame): does not drift, but the speckle under it decorrelates.
So each frame the short match moves the point and widens its covariance; the long match starts from there with that
covariance as its prior and narrows it again by as much as its correlation is worth: a Kalman filter whose measurement is the
long template. A point without support (a shadow, a lost plane) goes with its neighbours or waits, its covariance grows, and
when it has grown too far the long template is searched for in a window that grows with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.points.block_matching import BlockMatcher, BlockMatchingConfig
from UltrasoundMotionLib.points.image_pyramid import ImagePyramid, build_pyramid, level_count_for, to_level
from UltrasoundMotionLib.points.matcher import Match, Matcher, isotropic
from UltrasoundMotionLib.points.neighbour_motion import share_motion
from UltrasoundMotionLib.tracks.online_tracker import FrameTracks


@dataclass(frozen=True)
class LongShortConfig:
    """How the two memories are fused. Lengths are in pixels of a frame whose longer side has 256; they scale with the frame.

    Attributes:
        working_size: a frame with a longer side of twice this or more is halved until it is smaller (speckle grows with the
            frame, the patches do not).
        smoothing: blur of the finest level against pixel noise.
        step_deviation: expected standard deviation of the motion from one frame to the next.
        drift_deviation: what one short match may be off beyond its own estimate.
        short_level: pyramid level on which the search for the previous frame's template begins.
        long_level: pyramid level on which the search for the long template begins.
        long_trust: weight of one long match; its errors stay the same for many frames, so each brings little that is new.
        coupling_length: distance over which neighbouring points move alike; 0 lets each point move alone.
        own_motion: share of a point's motion that its neighbours do not explain.
        visible_above: confidence under which a point is marked not visible.
        forward_backward_scale: forward-backward error that lowers the confidence to 0.6.
        deviation_scale: standard deviation of the position that lowers the confidence to 0.6.
        lost_deviation: standard deviation of the position beyond which the point is searched for.
        recovery_level: pyramid level of that search.
        recovery_correlation: correlation with the long template that counts as found.
        remembers_long / remembers_short: switch a memory off, for comparison.
    """

    working_size: int = 256
    smoothing: float = 0.8
    step_deviation: float = 3.0
    drift_deviation: float = 0.05
    short_level: int = 1
    long_level: int = 1
    long_trust: float = 0.03
    coupling_length: float = 60.0
    own_motion: float = 0.3
    visible_above: float = 0.5
    forward_backward_scale: float = 2.0
    deviation_scale: float = 3.0
    lost_deviation: float = 3.0
    recovery_level: int = 1
    recovery_correlation: float = 0.6
    remembers_long: bool = True
    remembers_short: bool = True


class LongShortTracker:
    """Implements `OnlineTracker` with any `Matcher`; keeps two frames and the templates, whatever the length of the clip."""

    def __init__(self, matcher: Matcher, config: LongShortConfig, device: torch.device) -> None:
        self.config = config
        self._matcher = matcher
        self._recovery_matcher = BlockMatcher(BlockMatchingConfig(search_radius=12), device)
        self._device = device

    @torch.inference_mode()
    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """See `OnlineTracker.start`."""
        self._shape = frame.shape
        longer = max(frame.shape)
        self._halvings = 0
        while longer / 2**self._halvings >= 2 * self.config.working_size:
            self._halvings += 1
        self._unit = longer / 2**self._halvings / 256
        pyramid = self._pyramid(frame)
        points = to_level(torch.tensor(np.array(query_points, dtype=np.float32), device=self._device), self._halvings)
        self._query_points = points
        self._long = self._matcher.describe(pyramid, points)
        self._recovery = self._recovery_matcher.describe(pyramid, points)
        self._previous, self._short = pyramid, self._long
        self._points, self._covariance = points, isotropic(0.01, len(points), points)
        return FrameTracks(np.array(query_points, dtype=np.float64), np.ones(len(points)), np.ones(len(points), dtype=bool))

    @torch.inference_mode()
    def update(self, frame: np.ndarray) -> FrameTracks:
        """See `OnlineTracker.update`."""
        if frame.shape != self._shape:
            raise InputError(f"the frame is {frame.shape[1]} x {frame.shape[0]} pixels, the first one was {self._shape[1]} x {self._shape[0]}")
        config, pyramid, count = self.config, self._pyramid(frame), len(self._points)
        step_prior = isotropic((config.step_deviation * self._unit) ** 2, count, self._points)
        points, covariance = self._points, self._covariance
        if config.remembers_short:
            short = self._matcher.match(self._short, pyramid, points, step_prior, coarsest=config.short_level)
            step = share_motion(self._query_points, short.points - points, short.covariance, config.coupling_length * self._unit, config.own_motion)
            points = points + step.displacement
            covariance = covariance + step.covariance + isotropic((config.drift_deviation * self._unit) ** 2, count, points)
        else:
            covariance = covariance + step_prior
        if config.remembers_long:
            coarsest = config.long_level if config.remembers_short else config.short_level
            found = self._matcher.match(self._long, pyramid, points, covariance, coarsest=coarsest, trust=config.long_trust)
            found = self._recover(found, pyramid)
            points, covariance = found.points, found.covariance
        points = self._inside(points)
        templates = self._matcher.describe(pyramid, points)
        back = self._matcher.match(templates, self._previous, points, step_prior, coarsest=config.short_level)
        error = (back.points - self._points).square().sum(-1)
        variance = covariance.diagonal(dim1=1, dim2=2).mean(-1)
        confidence = torch.exp(-0.5 * (error / config.forward_backward_scale**2 + variance / config.deviation_scale**2) / self._unit**2)
        self._previous, self._short, self._points, self._covariance = pyramid, templates, points, covariance
        confidence_array = confidence.cpu().numpy().astype(np.float64)
        return FrameTracks(self._in_frame(points), confidence_array, confidence_array > config.visible_above)

    def _recover(self, found: Match, pyramid: ImagePyramid) -> Match:
        """Searches the long template in a wider window for points whose position is no longer known well."""
        deviation = found.covariance.diagonal(dim1=1, dim2=2).mean(-1).sqrt()
        lost = torch.nonzero(deviation > self.config.lost_deviation * self._unit)[:, 0]
        if len(lost) == 0:
            return found
        templates = type(self._recovery)(self._recovery.points[lost], tuple(blocks[lost] for blocks in self._recovery.blocks))
        again = self._recovery_matcher.match(templates, pyramid, found.points[lost], found.covariance[lost], coarsest=self.config.recovery_level)
        good = again.correlation > self.config.recovery_correlation
        which = lost[good]
        points, covariance, correlation = found.points.clone(), found.covariance.clone(), found.correlation.clone()
        points[which], covariance[which], correlation[which] = again.points[good], again.covariance[good], again.correlation[good]
        return Match(points, covariance, correlation)

    def _in_frame(self, points: Tensor) -> np.ndarray:
        """Working points as positions (N, 2) in the frame, inside it."""
        positions = (points.cpu().numpy().astype(np.float64) + 0.5) * 2**self._halvings - 0.5
        return np.clip(positions, 0, [self._shape[1] - 1, self._shape[0] - 1])

    def _inside(self, points: Tensor) -> Tensor:
        height, width = self._previous.levels[0].shape
        limit = torch.tensor([width - 1.0, height - 1.0], device=self._device)
        return torch.minimum(points.clamp(min=0), limit)

    def _pyramid(self, frame: np.ndarray) -> ImagePyramid:
        image = torch.tensor(np.array(frame, dtype=np.float32), device=self._device)
        for _ in range(self._halvings):
            image = F.avg_pool2d(image[None, None], 2, ceil_mode=True, count_include_pad=False)[0, 0]
        return build_pyramid(image, level_count_for(*image.shape), self.config.smoothing)
