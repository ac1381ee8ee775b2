"""Follows points with a short and a long memory, fused by their uncertainty.

Short memory (template of the previous frame): matches well, because speckle has had no time to change, but its small
errors add up to drift. Long memory (template of the query frame): does not drift, but the speckle under it
decorrelates. So each frame the short match moves the point and widens its covariance; the long match starts from there
with that covariance as its prior and narrows it again by as much as its correlation is worth: a Kalman filter whose
measurement is the long template. A point without support (a shadow, a lost plane) goes with its neighbours or waits,
its covariance grows, and when it has grown too far the long template is searched for in a window that grows with it.

Neighbours take part three times: they share the motion from frame to frame (`neighbour_motion`), they correct drift
together (`shared_correction`), and a long match that leads away from where they have moved to since the query frame is
doubted (`neighbour_consensus`). A coarse motion from the query frame offers a second place to points that may have lost
their way (`flow_evidence`). Where few points are asked for, `support_points` are their neighbours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.matching.absolute_search import AbsoluteSearch, Finding
from UltrasoundMotionLib.tracking.matching.block_matching import BlockMatcher, BlockMatchingConfig
from UltrasoundMotionLib.tracking.matching.flow_evidence import FlowEvidence
from UltrasoundMotionLib.tracking.matching.image_pyramid import ImagePyramid, build_pyramid, level_count_for
from UltrasoundMotionLib.tracking.matching.matcher import (
    Match,
    Matcher,
    inverse_2x2,
    isotropic,
    mean_variance,
    select_templates,
)
from UltrasoundMotionLib.tracking.matching.neighbour_consensus import FEWEST, neighbour_consensus
from UltrasoundMotionLib.tracking.matching.neighbour_groups import MOST_POINTS_TOGETHER
from UltrasoundMotionLib.tracking.matching.neighbour_motion import share_motion, smooth_kernel
from UltrasoundMotionLib.tracking.matching.robust_fusion import believe, fuse, log_odds, sigmoid, surprise
from UltrasoundMotionLib.tracking.matching.settings import LongShortSettings
from UltrasoundMotionLib.tracking.matching.shared_correction import share_correction
from UltrasoundMotionLib.tracking.matching.support_points import support_points
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
        absolute: AbsoluteSearch | None = None,
    ) -> None:
        self.config = config
        self._matcher = matcher
        self._absolute = absolute
        self.frames_at_once = 1 if absolute is None else absolute.frames_at_once
        self._recovery_matcher = BlockMatcher(BlockMatchingConfig(search_radius=12))
        self._placed: tuple[np.ndarray, np.ndarray] | None = None

    def start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        """Implements `OnlineTracker.start`."""
        self._scale = WorkingScale.of(frame.shape, self.config.working_size)
        self._unit = self._scale.unit
        query_points = np.array(query_points, dtype=np.float64)
        self._asked = len(query_points)
        points = np.concatenate((query_points, self._support(frame, query_points)))
        if self._absolute is not None:
            self._absolute.start(frame, points)
        return self._start(frame, points)

    def place(self, which: np.ndarray, positions_px: np.ndarray) -> None:
        """Places points `which` (N,) bool at `positions_px` (N, 2) in the next update: they are out of sight, and their
        positions become less certain.
        """
        placed, held = self._points.copy(), np.zeros(len(self._points), dtype=bool)
        placed[: self._asked] = self._scale.to_working(np.array(positions_px, dtype=np.float64))
        held[: self._asked] = which
        self._placed = held, placed

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

    def update_many(self, frames: np.ndarray) -> list[FrameTracks]:
        """Updates with several frames (K, H, W) at once."""
        self.check_size(frames.shape[1:])
        if self._absolute is not None:
            self._absolute.add_frames(frames)
        return [self._update(frame, index) for index, frame in enumerate(frames)]

    def _support(self, frame: np.ndarray, query_points: np.ndarray) -> np.ndarray:
        """Returns the support points (K, 2) px for the points asked for."""
        config = self.config.support
        if self._asked >= config.count or self.config.neighbours.length <= 0:
            return np.zeros((0, 2))
        points = self._scale.to_working(query_points)
        found = support_points(
            self._scale.image(frame), points, config.count - self._asked, reach=config.reach, unit=self._unit
        )
        return self._scale.to_frame(found)

    def _start(self, frame: np.ndarray, query_points: np.ndarray) -> FrameTracks:
        pyramid = self._pyramid(frame)
        points = self._scale.to_working(query_points)
        self._query_points = points
        self._kernel = None
        if self.config.neighbours.length > 0 and len(points) <= MOST_POINTS_TOGETHER:
            self._kernel = smooth_kernel(points[None], self.config.neighbours.length * self._unit)
        self._long = self._matcher.describe(pyramid, points)
        self._recovery = self._recovery_matcher.describe(pyramid, points)
        self._previous, self._short = pyramid, self._long
        self._doubt = np.where(np.arange(len(points)) < self._asked, 1.0, self.config.support.doubt)[:, None, None]
        self._points, self._covariance = points, isotropic(0.01, len(points))
        flow = self.config.flow
        coupled = self.config.neighbours.length > 0
        self._flow = FlowEvidence(pyramid, points, flow, self._unit) if flow.every > 0 and coupled else None
        self._stray = np.ones((len(points), 1, 1))
        self._usual = UsualPlace(points, self.config.sight.usual_place, self._unit)
        self._placed = None
        self._visibility = np.ones(len(points))
        self._frames_since_search = 0
        asked = self._asked
        return FrameTracks(query_points[:asked].copy(), np.ones(asked), np.ones(asked, dtype=bool))

    def _update(self, frame: np.ndarray, index: int) -> FrameTracks:
        config, pyramid, count = self.config, self._pyramid(frame), len(self._points)
        step_prior = isotropic((config.short.step_deviation * self._unit) ** 2, count)
        points, covariance = self._points, self._covariance
        unseen = np.zeros(count)
        if config.short.enabled:
            short = self._matcher.match(self._short, pyramid, points, step_prior, coarsest=config.short.level)
            step = share_motion(
                self._query_points,
                short.points - points,
                short.covariance * (self._doubt * self._stray),
                config.neighbours.length * self._unit,
                config.neighbours.own_motion,
                stretch=config.neighbours.stretch,
                kernel=self._kernel,
            )
            points = points + step.displacement
            unseen = np.maximum(mean_variance(short.covariance - step.covariance), 0.0)
            uncertainty = step.covariance + config.neighbours.own_doubt * (short.covariance - step.covariance)
            covariance = covariance + uncertainty + isotropic((config.short.drift_deviation * self._unit) ** 2, count)
        else:
            covariance = covariance + step_prior
        visibility = self._visibility
        if self._searches_now():
            finding = self._find(
                index, points, covariance + isotropic((config.absolute.search * self._unit) ** 2, count)
            )
            self._visibility = visibility = finding.visibility
            points, covariance = self._fuse_finding(points, covariance, finding)
            if config.consensus.length > 0 and count >= FEWEST:
                points, covariance = self._regroup(index, points, covariance)
        if config.long.enabled:
            search = covariance + isotropic((config.long.search * self._unit) ** 2, count)
            coarsest = config.long.level if config.short.enabled else config.short.level
            found = self._matcher.match(self._long, pyramid, points, search, coarsest=coarsest)
            here = self._matcher.correlate(self._long, pyramid, points)
            points, covariance = self._fuse_long_match(points, covariance, found, here)
            correlation = np.maximum(here, found.correlation)
            points, covariance = self._recover(points, covariance, correlation, pyramid)
            points, covariance = self._follow_flow(points, covariance, correlation, pyramid)
            if config.sight.correlation is not None:
                visibility = 1 - (1 - visibility) * sigmoid(
                    config.sight.slope * (config.sight.correlation - correlation)
                )
        if self._placed is not None:
            visibility = np.where(self._placed[0], 0.0, visibility)
        points, covariance = self._unseen(points, covariance, visibility)
        points = self._inside(points)
        templates = self._matcher.describe(ImagePyramid(pyramid.levels[: config.short.level + 1]), points)
        back = self._matcher.match(templates, self._previous, points, step_prior, coarsest=config.short.level)
        error = np.square(back.points - self._points).sum(axis=1)
        # Neighbours tell where a point is, not that it is seen there.
        variance = mean_variance(covariance) + (1 - config.neighbours.own_doubt) * unseen
        confidence = (
            np.exp(
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
        confidence = confidence[: self._asked]
        return FrameTracks(
            self._scale.to_frame(points[: self._asked]), confidence, confidence > config.confidence.visible_above
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

    def _unseen(
        self, points: np.ndarray, covariance: np.ndarray, visibility: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Moves points out of sight back towards their usual places, and placed ones to their places."""
        if self._absolute is not None and self.config.sight.visibility > 0:
            points, covariance = self._usual.after(points, covariance, visibility >= self.config.sight.visibility)
        if self._placed is not None:
            (held, placed), self._placed = self._placed, None
            points = np.where(held[:, None], placed, points)
            covariance = np.where(held[:, None, None], self._usual.grown(self._covariance), covariance)
        return points, covariance

    def _fuse_long_match(
        self, points: np.ndarray, covariance: np.ndarray, found: Match, correlation_here: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fuses a match of the long template into positions and covariances."""
        config = self.config
        evidence = np.log1p(-np.square(np.clip(correlation_here, 0, 0.999))) - np.log1p(
            -np.square(np.clip(found.correlation, 0, 0.999))
        )
        odds = config.long.evidence_weight * self._matcher.independent_samples * evidence + config.long.readiness
        if not config.correction.enabled or config.neighbours.length <= 0:
            return fuse(
                points,
                covariance,
                found.points,
                found.information,
                odds=odds,
                trust=config.long.trust,
                settings=config.fusion,
            )
        odds = odds + config.correction.consensus * self._consensus_odds(points, covariance, found.points)
        innovation = found.points - points
        covariance, belief = believe(covariance, innovation, found.information, odds, config.fusion)
        information = found.information * (config.long.trust * belief)[:, None, None]
        noise = mean_variance(inverse_2x2(information + isotropic(1e-5, len(points)))) + config.correction.deviation**2
        shared = share_correction(
            self._query_points,
            innovation,
            mean_variance(covariance),
            noise,
            length=config.correction.length * self._unit,
            shared=config.correction.shared,
        )
        return points + shared.correction, covariance * shared.left[:, None, None]

    def _consensus_odds(self, points: np.ndarray, covariance: np.ndarray, found: np.ndarray) -> np.ndarray:
        """Returns the log odds (N,), by Student's t, of positions `found` (N, 2) over `points` (N, 2) that follow from
        the displacements since the query frame of all other points.
        """
        asked = self.config.correction.consensus > 0 and self.config.consensus.length > 0
        if not asked or len(points) < FEWEST:
            return np.zeros(len(points))
        consensus, spread = self._consensus(points, covariance, iterations=2)
        here, there = (np.square(place - consensus).sum(axis=1) / spread for place in (points, found))
        self._stray = np.exp(np.minimum(here, self.config.correction.stray))[:, None, None]
        return surprise(here, self.config.fusion) - surprise(there, self.config.fusion)

    def _consensus(
        self, points: np.ndarray, covariance: np.ndarray, *, iterations: int = 6
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the positions (N, 2) at which neighbours expect the points, and the variance (N,) around these."""
        config, unit = self.config, self._unit
        deviation = (config.consensus.deviation * unit) ** 2
        consensus = neighbour_consensus(
            self._query_points,
            points,
            mean_variance(covariance) + deviation,
            length=config.consensus.length * unit,
            own_share=config.consensus.own_motion,
            least_spread=(config.short.step_deviation * unit) ** 2,
            iterations=iterations,
        )
        return consensus.points, consensus.variance + deviation

    def _fuse_finding(
        self, points: np.ndarray, covariance: np.ndarray, finding: Finding
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fuses a finding of the absolute search into positions and covariances."""
        config = self.config
        odds = config.absolute.evidence * (finding.likelihood - finding.expected_likelihood) + config.absolute.readiness
        odds = odds + log_odds(finding.visibility)
        return fuse(
            points,
            covariance,
            finding.points,
            inverse_2x2(finding.covariance),
            odds=odds,
            trust=config.absolute.trust,
            settings=config.fusion,
        )

    def _regroup(self, index: int, points: np.ndarray, covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Searches for points that are far from the consensus of their neighbours where these expect them, and moves
        those that are likelier there.

        The likelihood is the absolute search's, and Student's t of the distance from the consensus.
        """
        config, unit = self.config, self._unit
        expected, spread = self._consensus(points, covariance)
        off = np.square(points - expected).sum(axis=1)
        astray = off > np.maximum(config.consensus.gate**2 * spread, (config.consensus.distance * unit) ** 2)
        if not astray.any():
            return points, covariance
        there = self._find(index, expected, spread[:, None, None] * np.eye(2))
        here = self._find(index, points, isotropic((config.consensus.deviation * unit) ** 2, len(points)))
        likelihood_here = np.maximum(here.likelihood, here.expected_likelihood)
        gain = there.likelihood - likelihood_here
        odds = config.consensus.evidence * gain
        there_off = np.square(there.points - expected).sum(axis=1)
        odds = odds + surprise(off / spread, config.fusion) - surprise(there_off / spread, config.fusion)
        moved = (
            astray
            & (odds > config.consensus.odds)
            & ((gain > config.consensus.gain) | (likelihood_here < config.consensus.unseen))
        )
        found = there.covariance + isotropic((config.consensus.deviation * unit) ** 2, len(points))
        return np.where(moved[:, None], there.points, points), np.where(moved[:, None, None], found, covariance)

    def _find(self, index: int, points: np.ndarray, covariance: np.ndarray) -> Finding:
        """Runs the absolute search, from working pixels to the frame's and back."""
        scale = 2.0**self._scale.halvings
        assert self._absolute is not None
        finding = self._absolute.find(index, (points + 0.5) * scale - 0.5, covariance * scale**2)
        return replace(finding, points=self._scale.to_working(finding.points), covariance=finding.covariance / scale**2)

    def _recover(
        self, points: np.ndarray, covariance: np.ndarray, correlation: np.ndarray, pyramid: ImagePyramid
    ) -> tuple[np.ndarray, np.ndarray]:
        """Searches the long template in a wide window for points whose position has become uncertain, and moves those
        it finds beyond doubt.

        Tissue repeats itself: a search for every point that merely looks different loses more than it finds.
        """
        config = self.config
        deviation = np.sqrt(mean_variance(covariance))
        lost = np.flatnonzero(deviation > config.recovery.lost_deviation * self._unit)
        if len(lost) == 0:
            return points, covariance
        templates = select_templates(self._recovery, lost)
        wide = covariance[lost] + isotropic((config.recovery.deviation * self._unit) ** 2, len(lost))
        again = self._recovery_matcher.match(templates, pyramid, points[lost], wide, coarsest=config.recovery.level)
        certain = again.correlation > np.maximum(correlation[lost] + config.recovery.gain, config.recovery.correlation)
        which = lost[certain]
        points, covariance = points.copy(), covariance.copy()
        points[which], covariance[which] = again.points[certain], again.covariance[certain]
        return points, covariance

    def _follow_flow(
        self, points: np.ndarray, covariance: np.ndarray, correlation: np.ndarray, pyramid: ImagePyramid
    ) -> tuple[np.ndarray, np.ndarray]:
        """Moves points to where the coarse motion from the query frame leads, if the long template says so."""
        places = None if self._flow is None else self._flow.places(pyramid)
        if self._flow is None or places is None or not (far := self._flow.far(points, places)).any():
            return points, covariance
        index = np.flatnonzero(far)
        around = isotropic(2 * self._unit**2, len(index))
        templates = select_templates(self._long, index)
        there = self._matcher.match(templates, pyramid, places[index], around, coarsest=1)
        correlation_there = correlation.copy()
        correlation_there[index] = there.correlation
        moved = self._flow.weigh(far, correlation, correlation_there)
        points, covariance = points.copy(), covariance.copy()
        points[moved], covariance[moved] = there.points[moved[index]], there.covariance[moved[index]]
        return points, covariance

    def _inside(self, points: np.ndarray) -> np.ndarray:
        height, width = self._previous.levels[0].shape
        return np.minimum(np.maximum(points, 0.0), [width - 1.0, height - 1.0])

    def _pyramid(self, frame: np.ndarray) -> ImagePyramid:
        image, config = self._scale.image(frame), self.config
        used = 1 + max(config.short.level, config.long.level, config.recovery.level)
        return build_pyramid(image, min(used, level_count_for(*image.shape)), config.smoothing)
