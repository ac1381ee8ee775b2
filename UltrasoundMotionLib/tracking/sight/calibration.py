"""The logistic model that turns evidence into a probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.tracking.sight.calibration_values import INTERCEPT, TRACKERS, WEIGHTS
from UltrasoundMotionLib.tracking.sight.evidence import EVIDENCE, OWN_EVIDENCE

_BORDER, _UNLIKE = EVIDENCE.index("beyond_border"), EVIDENCE.index("unlike")
_MOST_UNLIKE = 0.4
"""1 to 16 of 100 such places were right on the clips of the fit; in a sum of evidence that weighs too little."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A logistic model: intercept and weights (E,) of the evidence."""

    intercept: float
    weights: np.ndarray

    def probability(self, evidence: np.ndarray) -> np.ndarray:
        """Returns the probability (N,) of evidence (N, E).

        0 on the border, where trackers keep what left the image; at most 0.4 where a place is unlike what it was.
        """
        probability = 1 / (1 + np.exp(-np.clip(self.intercept + evidence @ self.weights, -30, 30)))
        probability = np.where(evidence[:, _UNLIKE] > 0, np.minimum(probability, _MOST_UNLIKE), probability)
        return np.where(evidence[:, _BORDER] >= 1, 0.0, probability)


def calibration_of(model: str) -> Calibration:
    """Returns the model for a tracker; one that it was not fitted to gets that of all together."""
    intercept, *own = TRACKERS.get(model, (INTERCEPT, *(WEIGHTS[name] for name in OWN_EVIDENCE)))
    weights = {**WEIGHTS, **dict(zip(OWN_EVIDENCE, own, strict=True))}
    return Calibration(intercept, np.array([weights[name] for name in EVIDENCE]))
