"""The fit of the calibration: logistic regression of whether a position is right on the evidence for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.lab.benchmarks.confidence.samples import Samples
from UltrasoundMotionLib.tracking.sight.evidence import EVIDENCE, OWN_EVIDENCE

_RIDGE, _TRACKER_RIDGE = 3.0, 3.0
"""Weights of the squared coefficients, of standardised evidence; and of a tracker's own."""
_STEPS = 50
_FOR = ("look_fine", "look_middle", "look_coarse", "recent_fine", "recent_middle", "recent_coarse", "less_than_usual")
"""Evidence that speaks for a position the more, the larger it is, beside the tracker's own confidence; all other speaks
against it. Weights of the wrong sign, which few clips can bring about, become 0.
"""


@dataclass(frozen=True)
class FittedCalibration:
    """Intercept and weights by evidence for any tracker; by name, each tracker's own intercept and `OWN_EVIDENCE`."""

    intercept: float
    weights: dict[str, float]
    trackers: dict[str, tuple[float, ...]]

    def write(self, path: Path, origin: str) -> None:
        """Writes the module that tracking reads them from; `origin` says what they were fitted to."""
        lines = [
            '"""Coefficients of the calibration, written by `ultrasound-motion benchmark confidence --fit`.',
            "",
            origin,
            '"""',
            "",
            f"INTERCEPT = {self.intercept:.4f}",
            "WEIGHTS = {",
            *(f'    "{name}": {value:.4f},' for name, value in self.weights.items()),
            "}",
            "TRACKERS: dict[str, tuple[float, ...]] = {",
            *(
                f'    "{name}": ({", ".join(f"{value:.4f}" for value in values)}),'
                for name, values in sorted(self.trackers.items())
            ),
            "}",
            f'"""Intercept and weights of {" and ".join(OWN_EVIDENCE)} by tracker."""',
            "",
        ]
        write_text_file(path, "\n".join(lines))


def fit_calibration(samples: Sequence[Samples]) -> FittedCalibration:
    """Fits the model; every run of a tracker on a clip weighs as much."""
    parts = [(one.evidence[one.judged], one.right[one.judged], one.tracker) for one in samples if one.judged.any()]
    evidence = np.concatenate([part[0] for part in parts])
    right = np.concatenate([part[1] for part in parts]).astype(float)
    names = np.concatenate([np.full(len(part[1]), part[2]) for part in parts])
    usual = np.mean([len(part[1]) for part in parts])
    weight = np.concatenate([np.full(len(part[1]), usual / len(part[1])) for part in parts])
    mean, deviation = evidence.mean(axis=0), evidence.std(axis=0) + 1e-6
    design = np.column_stack([np.ones(len(right)), (evidence - mean) / deviation])
    ridge = np.full(design.shape[1], _RIDGE)
    ridge[0] = 0.0
    signs = np.array([1.0 if name in (*_FOR, "own_confidence") else -1.0 for name in EVIDENCE])
    fitted = _signed(design, right, weight, ridge, known=np.zeros(len(right)), signs=signs)
    weights = fitted[1:] / deviation
    intercept = float(fitted[0] - weights @ mean)
    own = [EVIDENCE.index(name) for name in OWN_EVIDENCE]
    trackers = {}
    for name in np.unique(names[names != ""]).tolist():
        of = names == name
        known = evidence[of] @ np.where(np.isin(np.arange(len(weights)), own), 0.0, weights)
        small = np.column_stack([np.ones(of.sum()), evidence[of][:, own]])
        own_ridge = np.full(small.shape[1], _TRACKER_RIDGE)
        found = _signed(small, right[of], weight[of], own_ridge, known=known, signs=signs[own])
        trackers[name] = tuple(found.tolist())
    return FittedCalibration(intercept, dict(zip(EVIDENCE, weights.tolist(), strict=True)), trackers)


def _signed(
    design: np.ndarray,
    right: np.ndarray,
    weight: np.ndarray,
    ridge: np.ndarray,
    *,
    known: np.ndarray,
    signs: np.ndarray,
) -> np.ndarray:
    """Returns the coefficients of `_logistic` with those after the first (C - 1,) of these signs or 0."""
    kept = np.ones(design.shape[1], dtype=bool)
    while True:
        found = np.zeros(design.shape[1])
        found[kept] = _logistic(design[:, kept], right, weight, ridge[kept], known)
        against = found[1:] * signs
        if against.min() >= 0:
            return found
        kept[1 + int(np.argmin(against))] = False


def _logistic(
    design: np.ndarray, right: np.ndarray, weight: np.ndarray, ridge: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Returns the coefficients (C,) of a logistic regression on (M, C) by Newton's method, beside a known part (M,)."""
    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        probability = 1 / (1 + np.exp(-np.clip(known + design @ found, -30, 30)))
        gradient = design.T @ (weight * (right - probability)) - ridge * found
        bend = (design * (weight * probability * (1 - probability))[:, None]).T @ design + np.diag(ridge + 1e-9)
        step = np.linalg.solve(bend, gradient)
        found = found + step
        if np.abs(step).max() < 1e-6:
            break
    return found
