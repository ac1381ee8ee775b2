"""Follows points with a short and a long memory, fused by their uncertainty.

Short memory (template of the previous frame): matches well, because speckle has had no time to change, but its small
errors add up to drift. Long memory (template of the query frame): does not drift, but the speckle under it
decorrelates. So each frame the short match moves the point and widens its covariance; the long match starts from there
with that covariance as its prior and narrows it again by as much as its correlation is worth: a Kalman filter whose
measurement is the long template. A point without support (a shadow, a lost plane) goes with its neighbours or waits,
its covariance grows, and when it has grown too far the long template is searched for in a window that grows with it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from UltrasoundMotionLib.device import one_thread
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.matching.absolute_search import AbsoluteSearch, Finding
from UltrasoundMotionLib.tracking.matching.block_matching import BlockMatcher, BlockMatchingConfig
from UltrasoundMotionLib.tracking.matching.image_pyramid import ImagePyramid, build_pyramid, level_count_for
from UltrasoundMotionLib.tracking.matching.matcher import Match, Matcher, inverse_2x2, isotropic
from UltrasoundMotionLib.tracking.matching.neighbour_consensus import FEWEST, neighbour_consensus
from UltrasoundMotionLib.tracking.matching.neighbour_motion import share_motion
from UltrasoundMotionLib.tracking.matching.settings import LongShortSettings
from UltrasoundMotionLib.tracking.matching.usual_place import UsualPlace
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.working_scale import WorkingScale


class LongShortTracker:
    """Implements `OnlineTracker` with any `Matcher`; keeps two frames and the templates, whatever the clip's length.

    The finding of an `AbsoluteSearch` is fused between the short match and the long one, whose search so begins in the
    right place.
    """

    def __init__(
        self,
        matcher: Matcher[Any],
        config: LongShortSettings,
        device: torch.device,
        absolute: AbsoluteSearch | None = None,
    ) -> None:
        self.config = config
        self._matcher = matcher
        self._absolute = absolute
        self.frames_at_once = 1 if absolute is None else absolute.frames_at_once
        self._recovery_matcher = BlockMatcher(BlockMatchingConfig(search_radius=12), device)
        self._device = device
        self._placed: tuple[Tensor, Tensor] | None = None

    @torch.inference_mode()
    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.start`."""
        if self._absolute is not None:
            self._absolute.start(frame, query_points)
        return self._start(frame, query_points)

    def place(self, which: np.ndarray, positions_px: np.ndarray) -> None:
        """Places points `which` (N,) bool at `positions_px` (N, 2) in the next update: they are out of sight, and their
        positions become less certain.
        """
        placed = self._scale.to_working(torch.tensor(np.array(positions_px, dtype=np.float32), device=self._device))
        self._placed = torch.tensor(np.array(which, dtype=bool), device=self._device), placed

    def update(self, frame: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.update`."""
        return self.update_many(frame[None])[0]

    def release(self) -> None:
        """Takes the last `place` back: there is no next update for now."""
        self._placed = None

    def check_size(self, shape: tuple[int, ...]) -> None:
        """Raises InputError for a frame (H, W) of another size than the first."""
        if shape != self._scale.shape:
            height, width = self._scale.shape
            raise InputError(f"the frame is {shape[1]} x {shape[0]} pixels, the first one was {width} x {height}")

    @torch.inference_mode()
    def update_many(self, frames: np.ndarray) -> list[FrameTracks]:
        """Updates with several frames (K, H, W) at once."""
        self.check_size(frames.shape[1:])
        if self._absolute is not None:
            self._absolute.add_frames(frames)
        return [self._update(frame, index) for index, frame in enumerate(frames)]

    @one_thread()
    def _start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        self._scale = WorkingScale.of(frame.shape, self.config.working_size)
        self._unit = self._scale.unit
        pyramid = self._pyramid(frame)
        points = self._scale.to_working(torch.tensor(np.array(query_points, dtype=np.float32), device=self._device))
        self._query_points = points
        self._long = self._matcher.describe(pyramid, points)
        self._recovery = self._recovery_matcher.describe(pyramid, points)
        self._previous, self._short = pyramid, self._long
        self._points, self._covariance = points, isotropic(0.01, len(points), points)
        self._usual = UsualPlace(points, self.config.sight.usual_place, self._unit)
        self._placed = None
        self._visibility = torch.ones(len(points), device=self._device)
        self._frames_since_search = 0
        return FrameTracks(
            np.array(query_points, dtype=np.float64), np.ones(len(points)), np.ones(len(points), dtype=bool)
        )

    @one_thread()
    def _update(self, frame: np.ndarray, index: int) -> FrameTracks:
        config, pyramid, count = self.config, self._pyramid(frame), len(self._points)
        step_prior = isotropic((config.short.step_deviation * self._unit) ** 2, count, self._points)
        points, covariance = self._points, self._covariance
        if config.short.enabled:
            short = self._matcher.match(self._short, pyramid, points, step_prior, coarsest=config.short.level)
            step = share_motion(
                self._query_points,
                short.points - points,
                short.covariance,
                config.neighbours.length * self._unit,
                config.neighbours.own_motion,
                stretch=config.neighbours.stretch,
            )
            points = points + step.displacement
            uncertainty = torch.lerp(step.covariance, short.covariance, config.neighbours.own_doubt)
            covariance = (
                covariance + uncertainty + isotropic((config.short.drift_deviation * self._unit) ** 2, count, points)
            )
        else:
            covariance = covariance + step_prior
        visibility = self._visibility
        if self._searches_now():
            finding = self._find(
                index, points, covariance + isotropic((config.absolute.search * self._unit) ** 2, count, points)
            )
            self._visibility = visibility = finding.visibility
            points, covariance = self._fuse_finding(points, covariance, finding)
            if config.consensus.length > 0 and count >= FEWEST:
                points, covariance = self._regroup(index, points, covariance)
        if config.long.enabled:
            search = covariance + isotropic((config.long.search * self._unit) ** 2, count, points)
            coarsest = config.long.level if config.short.enabled else config.short.level
            found = self._matcher.match(self._long, pyramid, points, search, coarsest=coarsest)
            here = self._matcher.correlate(self._long, pyramid, points)
            points, covariance = self._fuse_long_match(points, covariance, found, here)
            correlation = torch.maximum(here, found.correlation)
            points, covariance = self._recover(points, covariance, correlation, pyramid)
            if config.sight.correlation is not None:
                visibility = 1 - (1 - visibility) * torch.sigmoid(
                    config.sight.slope * (config.sight.correlation - correlation)
                )
        if self._placed is not None:
            visibility = torch.where(self._placed[0], 0.0, visibility)
        points, covariance = self._unseen(points, covariance, visibility)
        points = self._inside(points)
        templates = self._matcher.describe(pyramid, points)
        back = self._matcher.match(templates, self._previous, points, step_prior, coarsest=config.short.level)
        error = (back.points - self._points).square().sum(-1)
        variance = covariance.diagonal(dim1=1, dim2=2).mean(-1)
        confidence = (
            torch.exp(
                -0.5
                * (
                    error / config.confidence.forward_backward_scale**2
                    + variance / config.confidence.deviation_scale**2
                )
                / self._unit**2
            )
            * visibility
        )
        self._previous, self._short, self._points, self._covariance = pyramid, templates, points, covariance
        confidence_array = confidence.cpu().numpy().astype(np.float64)
        return FrameTracks(
            self._scale.to_frame(points), confidence_array, confidence_array > config.confidence.visible_above
        )

    def _searches_now(self) -> bool:
        """Tells whether the absolute search runs in this frame."""
        if self._absolute is None:
            return False
        self._frames_since_search += 1
        asked = self._frames_since_search >= self.config.absolute.every or bool(
            (self._visibility < self.config.sight.visibility).any()
        )
        self._frames_since_search = 0 if asked else self._frames_since_search
        return asked

    def _unseen(self, points: Tensor, covariance: Tensor, visibility: Tensor) -> tuple[Tensor, Tensor]:
        """Moves points out of sight back towards their usual places, and placed ones to their places."""
        if self._absolute is not None and self.config.sight.visibility > 0:
            points, covariance = self._usual.after(points, covariance, visibility >= self.config.sight.visibility)
        if self._placed is not None:
            (held, placed), self._placed = self._placed, None
            points = torch.where(held[:, None], placed, points)
            covariance = torch.where(held[:, None, None], self._usual.grown(self._covariance), covariance)
        return points, covariance

    def _fuse_long_match(
        self, points: Tensor, covariance: Tensor, found: Match, correlation_here: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Fuses a match of the long template into positions and covariances."""
        config = self.config
        evidence = torch.log1p(-correlation_here.clamp(0, 0.999).square()) - torch.log1p(
            -found.correlation.clamp(0, 0.999).square()
        )
        odds = config.long.evidence_weight * self._matcher.independent_samples * evidence + config.long.readiness
        return self._fuse(points, covariance, found.points, found.information, odds=odds, trust=config.long.trust)

    def _fuse_finding(self, points: Tensor, covariance: Tensor, finding: Finding) -> tuple[Tensor, Tensor]:
        """Fuses a finding of the absolute search into positions and covariances."""
        config = self.config
        odds = config.absolute.evidence * (finding.likelihood - finding.expected_likelihood) + config.absolute.readiness
        odds = odds + torch.logit(finding.visibility, eps=1e-4)
        return self._fuse(
            points, covariance, finding.points, inverse_2x2(finding.covariance), odds=odds, trust=config.absolute.trust
        )

    def _fuse(
        self,
        points: Tensor,
        covariance: Tensor,
        found: Tensor,
        found_information: Tensor,
        *,
        odds: Tensor,
        trust: float,
    ) -> tuple[Tensor, Tensor]:
        """Makes a Kalman update that is robust to false matches.

        One match brings little that is new, since its error stays the same for many frames (`trust`). One that lies
        further off than both uncertainties explain is either a false peak or the position of a point that was lost: the
        odds are the ratio of the likelihoods there and here (`odds`, a logarithm), times the density (Student's t) of
        so long a way.
        """
        config = self.config
        innovation = (found - points)[..., None]
        spread = covariance + inverse_2x2(found_information + isotropic(1e-4, len(points), points))
        squared = (innovation.transpose(1, 2) @ inverse_2x2(spread) @ innovation)[:, 0, 0]
        surprise = 0.5 * (config.fusion.surprise_freedom + 2) * torch.log1p(squared / config.fusion.surprise_freedom)
        belief = torch.sigmoid(odds - surprise)
        # Accepted though surprising: the covariance was too small, and grows to fit the innovation.
        excess = belief * (squared / config.fusion.gate - 1).clamp(min=0)
        covariance = covariance * (1 + excess)[:, None, None]
        information = found_information * (trust * belief)[:, None, None]
        corrected = inverse_2x2(information + inverse_2x2(covariance))
        return points + (corrected @ information @ innovation)[..., 0], corrected

    def _regroup(self, index: int, points: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
        """Searches for points that are far from the consensus of their neighbours where these expect them, and moves
        those that are likelier there.

        The likelihood is the absolute search's, and Student's t of the distance from the consensus.
        """
        config, unit = self.config, self._unit
        consensus = neighbour_consensus(
            self._query_points,
            points,
            covariance.diagonal(dim1=1, dim2=2).mean(-1) + (config.consensus.deviation * unit) ** 2,
            length=config.consensus.length * unit,
            own_share=config.consensus.own_motion,
            least_spread=(config.short.step_deviation * unit) ** 2,
        )
        spread = consensus.variance + (config.consensus.deviation * unit) ** 2
        off = (points - consensus.points).square().sum(-1)
        astray = off > torch.maximum(
            config.consensus.gate**2 * spread, torch.full_like(off, (config.consensus.distance * unit) ** 2)
        )
        if not bool(astray.any()):
            return points, covariance
        there = self._find(index, consensus.points, torch.diag_embed(spread[:, None].expand(-1, 2)))
        here = self._find(index, points, isotropic((config.consensus.deviation * unit) ** 2, len(points), points))
        likelihood_here = torch.maximum(here.likelihood, here.expected_likelihood)
        gain = there.likelihood - likelihood_here
        odds = config.consensus.evidence * gain
        freedom = config.fusion.surprise_freedom
        there_off = (there.points - consensus.points).square().sum(-1)
        odds = odds + 0.5 * (freedom + 2) * (
            torch.log1p(off / spread / freedom) - torch.log1p(there_off / spread / freedom)
        )
        moved = (
            astray
            & (odds > config.consensus.odds)
            & ((gain > config.consensus.gain) | (likelihood_here < config.consensus.unseen))
        )
        found = there.covariance + isotropic((config.consensus.deviation * unit) ** 2, len(points), points)
        return torch.where(moved[:, None], there.points, points), torch.where(moved[:, None, None], found, covariance)

    def _find(self, index: int, points: Tensor, covariance: Tensor) -> Finding:
        """Runs the absolute search, from working pixels to the frame's and back."""
        scale = 2.0**self._scale.halvings
        assert self._absolute is not None
        finding = self._absolute.find(index, (points + 0.5) * scale - 0.5, covariance * scale**2)
        return replace(finding, points=self._scale.to_working(finding.points), covariance=finding.covariance / scale**2)

    def _recover(
        self, points: Tensor, covariance: Tensor, correlation: Tensor, pyramid: ImagePyramid
    ) -> tuple[Tensor, Tensor]:
        """Searches the long template in a wide window for points whose position has become uncertain, and moves those
        it finds beyond doubt.

        Tissue repeats itself: a search for every point that merely looks different loses more than it finds.
        """
        config = self.config
        deviation = covariance.diagonal(dim1=1, dim2=2).mean(-1).sqrt()
        lost = torch.nonzero(deviation > config.recovery.lost_deviation * self._unit)[:, 0]
        if len(lost) == 0:
            return points, covariance
        templates = type(self._recovery)(
            self._recovery.points[lost], tuple(blocks[lost] for blocks in self._recovery.blocks)
        )
        wide = covariance[lost] + isotropic((config.recovery.deviation * self._unit) ** 2, len(lost), points)
        again = self._recovery_matcher.match(templates, pyramid, points[lost], wide, coarsest=config.recovery.level)
        certain = again.correlation > (correlation[lost] + config.recovery.gain).clamp(min=config.recovery.correlation)
        which = lost[certain]
        points, covariance = points.clone(), covariance.clone()
        points[which], covariance[which] = again.points[certain], again.covariance[certain]
        return points, covariance

    def _inside(self, points: Tensor) -> Tensor:
        height, width = self._previous.levels[0].shape
        limit = torch.tensor([width - 1.0, height - 1.0], device=self._device)
        return torch.minimum(points.clamp(min=0), limit)

    def _pyramid(self, frame: np.ndarray) -> ImagePyramid:
        image, config = self._scale.image(frame, self._device), self.config
        used = 1 + max(config.short.level, config.long.level, config.recovery.level)
        return build_pyramid(image, min(used, level_count_for(*image.shape)), config.smoothing)
