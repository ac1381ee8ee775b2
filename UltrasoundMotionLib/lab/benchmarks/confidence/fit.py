"""The fit of the calibration: logistic regression of whether a position is right on the evidence for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.lab.benchmarks.confidence.samples import Samples
from UltrasoundMotionLib.tracking.sight.evidence import EVIDENCE, OWN_EVIDENCE

_RIDGE, _TRACKER_RIDGE = 3.0, 10.0
"""Weights of the squared coefficients, of standardised evidence; and of those of a tracker, from
the usual ones."""
_DECOYS = 0.25
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
    """Fits the model; every run of a tracker on a clip weighs as much, and all decoys a quarter of all runs."""
    parts = [(one.evidence[one.judged], one.right[one.judged], one.tracker) for one in samples if one.judged.any()]
    evidence = np.concatenate([part[0] for part in parts])
    right = np.concatenate([part[1] for part in parts]).astype(float)
    names = np.concatenate([np.full(len(part[1]), part[2]) for part in parts])
    usual = np.mean([len(part[1]) for part in parts])
    weight = np.concatenate([np.full(len(part[1]), usual / len(part[1])) for part in parts])
    decoys = names == ""
    if decoys.any() and not decoys.all():
        weight[decoys] *= _DECOYS * weight[~decoys].sum() / weight[decoys].sum()
    mean, deviation = evidence.mean(axis=0), evidence.std(axis=0) + 1e-6
    design = np.column_stack([np.ones(len(right)), (evidence - mean) / deviation])
    ridge = np.full(design.shape[1], _RIDGE)
    ridge[0] = 0.0
    signs = np.array([1.0 if name in (*_FOR, "own_confidence") else -1.0 for name in EVIDENCE])
    problem = _Problem(design, right, weight, np.zeros(len(right)), ridge, np.zeros(design.shape[1]))
    fitted = problem.solve(signs)
    weights = fitted[1:] / deviation
    intercept = float(fitted[0] - weights @ mean)
    own = [EVIDENCE.index(name) for name in OWN_EVIDENCE]
    trackers = {}
    for name in np.unique(names[names != ""]).tolist():
        of = names == name
        known = evidence[of] @ np.where(np.isin(np.arange(len(weights)), own), 0.0, weights)
        small = np.column_stack([np.ones(of.sum()), evidence[of][:, own]])
        own_ridge, usual_own = np.full(small.shape[1], _TRACKER_RIDGE), np.array([intercept, *weights[own]])
        problem = _Problem(small, right[of], weight[of], known, own_ridge, usual_own)
        trackers[name] = tuple(problem.solve(signs[own]).tolist())
    return FittedCalibration(intercept, dict(zip(EVIDENCE, weights.tolist(), strict=True)), trackers)


@dataclass(frozen=True)
class _Problem:
    """A logistic regression of `right` (M,) on a design (M, C), with weights (M,) and beside a known part (M,).

    The squared differences of the coefficients (C,) from `usual` (C,) are penalised by `ridge` (C,).
    """

    design: np.ndarray
    right: np.ndarray
    weight: np.ndarray
    known: np.ndarray
    ridge: np.ndarray
    usual: np.ndarray

    def solve(self, signs: np.ndarray) -> np.ndarray:
        """Returns the coefficients, those after the first with these signs (C - 1,) or 0."""
        kept = np.ones(self.design.shape[1], dtype=bool)
        while True:
            found = np.zeros(len(kept))
            found[kept] = self._newton(kept)
            against = found[1:] * signs
            if against.min() >= 0:
                return found
            kept[1 + int(np.argmin(against))] = False

    def _newton(self, kept: np.ndarray) -> np.ndarray:
        """Returns the coefficients of the columns `kept` (C,) by Newton's method."""
        design, ridge, usual = self.design[:, kept], self.ridge[kept], self.usual[kept]
        found = usual.copy()
        for _ in range(_STEPS):
            probability = 1 / (1 + np.exp(-np.clip(self.known + design @ found, -30, 30)))
            gradient = design.T @ (self.weight * (self.right - probability)) - ridge * (found - usual)
            bend = (design * (self.weight * probability * (1 - probability))[:, None]).T @ design
            step = np.linalg.solve(bend + np.diag(ridge + 1e-9), gradient)
            found = found + step
            if np.abs(step).max() < 1e-6:
                break
        return found
