"""Kalman updates of points by matches that may be false: how far each is believed, and what it changes."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.tracking.matching.matcher import inverse_2x2, isotropic, times_vectors
from UltrasoundMotionLib.tracking.matching.settings import FusionSettings


def fuse(
    points: np.ndarray,
    covariance: np.ndarray,
    found: np.ndarray,
    found_information: np.ndarray,
    *,
    odds: np.ndarray,
    trust: float,
    settings: FusionSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """Fuses matches at `found` (N, 2) into points (N, 2) and covariances (N, 2, 2), and returns both.

    One match brings little that is new, since its error stays the same for many frames (`trust`). One that lies
    further off than both uncertainties explain is either a false peak or the position of a point that was lost: the
    odds are the ratio of the likelihoods there and here (`odds`, a logarithm), times the density (Student's t) of so
    long a way.
    """
    innovation = found - points
    covariance, belief = believe(covariance, innovation, found_information, odds, settings)
    information = found_information * (trust * belief)[:, None, None]
    corrected = inverse_2x2(information + inverse_2x2(covariance))
    return points + times_vectors(corrected, times_vectors(information, innovation)), corrected


def believe(
    covariance: np.ndarray,
    innovation: np.ndarray,
    information: np.ndarray,
    odds: np.ndarray,
    settings: FusionSettings,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the covariances (N, 2, 2) of the positions, wider where they have to be, and the belief (N,) in [0, 1] in
    matches that lie `innovation` (N, 2) away.
    """
    spread = covariance + inverse_2x2(information + isotropic(1e-4, len(innovation)))
    squared = (times_vectors(inverse_2x2(spread), innovation) * innovation).sum(axis=1)
    belief = sigmoid(odds - surprise(squared, settings))
    # Accepted though surprising: the covariance was too small, and grows to fit the innovation.
    excess = belief * np.maximum(squared / settings.gate - 1, 0)
    return covariance * (1 + excess)[:, None, None], belief


def surprise(squared: np.ndarray, settings: FusionSettings) -> np.ndarray:
    """Returns Student's t's negative log density (N,), up to a constant, at squared distances in variances."""
    freedom = settings.surprise_freedom
    return 0.5 * (freedom + 2) * np.log1p(squared / freedom)


def sigmoid(log_odds: np.ndarray) -> np.ndarray:
    """Returns probabilities of log odds."""
    return 0.5 * (1 + np.tanh(0.5 * log_odds))


def log_odds(probability: np.ndarray) -> np.ndarray:
    """Returns log odds of probabilities, finite at 0 and 1."""
    kept = np.clip(probability, 1e-4, 1 - 1e-4)
    return np.log(kept) - np.log1p(-kept)
