"""The logistic model that turns evidence into a probability."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.tracking.sight.calibration_values import INTERCEPT, TRACKERS, WEIGHTS
from UltrasoundMotionLib.tracking.sight.evidence import EVIDENCE, OWN_EVIDENCE


@dataclass(frozen=True, eq=False)
class Calibration:
    """A logistic model: intercept and weights (E,) of the evidence."""

    intercept: float
    weights: np.ndarray

    def probability(self, evidence: np.ndarray) -> np.ndarray:
        """Returns the probability (N,) of evidence (N, E)."""
        return 1 / (1 + np.exp(-np.clip(self.intercept + evidence @ self.weights, -30, 30)))


def calibration_of(model: str) -> Calibration:
    """Returns the model for a tracker; one that it was not fitted to gets that of all together."""
    intercept, *own = TRACKERS.get(model, (INTERCEPT, *(WEIGHTS[name] for name in OWN_EVIDENCE)))
    weights = {**WEIGHTS, **dict(zip(OWN_EVIDENCE, own, strict=True))}
    return Calibration(intercept, np.array([weights[name] for name in EVIDENCE]))
