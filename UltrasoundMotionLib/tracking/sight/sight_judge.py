"""The judge of sight: what visibility and confidence each point of any tracker has on each frame."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.sight.calibration import Calibration, calibration_of
from UltrasoundMotionLib.tracking.sight.evidence import PointEvidence
from UltrasoundMotionLib.tracking.sight.picture_watch import PictureState
from UltrasoundMotionLib.tracking.sight.small_pictures import SmallPictures

VISIBLE_FROM = 0.5
"""Confidence from which on a point is visible: more likely right than not."""
WITHIN_PX = 4.0
"""Distance from the true place, in pixels of a frame whose longer side has 256, within which a position is right."""


class SightJudge:
    """Turns a tracker's points into those with a calibrated confidence: the probability that the tissue that the point
    was placed on is in sight at the position found, within `WITHIN_PX`.

    Args:
        model: name of the tracker, whose own confidence counts as it was found to deserve.

    Attributes:
        evidence: (N, E) of the last judged frame, see `EVIDENCE`.
    """

    def __init__(self, model: str = "") -> None:
        self._calibration: Calibration = calibration_of(model)

    def start(self, pictures: SmallPictures, points: np.ndarray) -> None:
        """Stores the look of points (N, 2) on the query frame."""
        self._points = PointEvidence(pictures, points)

    def judge(self, state: PictureState, found: FrameTracks, seen: FrameTracks | None = None) -> FrameTracks:
        """Returns the points of a frame with their confidence and visibility.

        A point whose tracker gives it the confidence 0 (it was told that the point is hidden) keeps that.

        Args:
            state: the frame; positions are pixels of `state.frame`.
            found: the tracker's points.
            seen: points to judge by instead, where `found` are those of another time.
        """
        self.evidence = self._points.of(state, found if seen is None else seen)
        confidence = np.where(found.confidence > 0, self._calibration.probability(self.evidence), 0.0)
        return FrameTracks(found.positions_px, confidence, confidence >= VISIBLE_FROM)
