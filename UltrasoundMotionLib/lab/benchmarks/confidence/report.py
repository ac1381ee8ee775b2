"""Figures on confidence and visibility: reliability, AUC, expected calibration error, and visible shares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from UltrasoundMotionLib.evaluation.case_statistics import DRAWS, LEVEL, SEED
from UltrasoundMotionLib.lab.benchmarks.confidence.samples import Samples

BINS = 10


@dataclass(frozen=True)
class Reliability:
    """Positions by confidence, in ten bins: mean confidence, share of right ones and number; NaN in an empty bin."""

    confidence: np.ndarray
    right: np.ndarray
    count: np.ndarray

    @classmethod
    def of(cls, confidence: np.ndarray, right: np.ndarray) -> Reliability:
        """Counts confidences (M,) and whether they are right (M,)."""
        place = np.minimum((confidence * BINS).astype(int), BINS - 1)
        count = np.bincount(place, minlength=BINS)
        some = np.where(count > 0, count, np.nan)
        sums = [np.bincount(place, weights=values, minlength=BINS) for values in (confidence, right.astype(float))]
        return cls(sums[0] / some, sums[1] / some, count)

    @property
    def expected_error(self) -> float:
        """The expected calibration error: mean difference of confidence and share, weighed by number."""
        apart = np.abs(self.confidence - self.right)
        return float(np.nansum(apart * self.count) / self.count.sum())


def area_under_curve(confidence: np.ndarray, right: np.ndarray) -> float:
    """Returns the probability that a right position has a higher confidence than a wrong one, equal ones counting half;
    NaN where all or none are right.
    """
    _, inverse, counts = np.unique(confidence, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    good = int(right.sum())
    bad = len(right) - good
    if not (good and bad):
        return float("nan")
    return float((ranks[inverse][right].sum() - good * (good + 1) / 2) / (good * bad))


@dataclass(frozen=True)
class Share:
    """A share of positions, their number, and its 95 % interval by bootstrap over clips; NaN of none."""

    value: float
    count: int
    low: float
    high: float

    @classmethod
    def of(cls, hits: Sequence[int], counts: Sequence[int]) -> Share:
        """Pools clips, each with so many hits of so many."""
        hit, count = np.array(hits, dtype=float), np.array(counts, dtype=float)
        if not count.sum():
            return cls(float("nan"), 0, float("nan"), float("nan"))
        drawn = np.random.default_rng(SEED).integers(len(count), size=(DRAWS, len(count)))
        totals = count[drawn].sum(axis=1)
        shares = hit[drawn].sum(axis=1)[totals > 0] / totals[totals > 0]
        low, high = np.quantile(shares, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
        return cls(float(hit.sum() / count.sum()), int(count.sum()), float(low), float(high))

    @property
    def text(self) -> str:
        """Percent, interval and number."""
        if not self.count:
            return "-"
        return f"{100 * self.value:.1f} ({100 * self.low:.0f}-{100 * self.high:.0f}; {self.count})"


@dataclass(frozen=True)
class ConfidenceRow:
    """One tracker on clips with one kind of hardening, or on all of them.

    Attributes:
        kind, tracker: names; the kind "all" pools all.
        clips: number of clips.
        hidden: share of the positions that the hardening hides that are visible.
        in_sight: share of the positions in sight that are visible.
        own_shadow: share of the positions that only a phantom's own shadow hides that are visible. Its truth hides them
            from a loss of 9 dB on, of which the picture may show little; what follows leaves them out.
        correct: share of the visible positions that are right.
        auc, expected_error: of the confidence.
        reliability: curve.
    """

    kind: str
    tracker: str
    clips: int
    hidden: Share
    in_sight: Share
    own_shadow: Share
    correct: Share
    auc: float
    expected_error: float
    reliability: Reliability

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        content = {name: getattr(self, name) for name in ("kind", "tracker", "clips", "auc", "expected_error")}
        content |= {name: vars(getattr(self, name)) for name in ("hidden", "in_sight", "own_shadow", "correct")}
        return content | {"reliability": {name: value.tolist() for name, value in vars(self.reliability).items()}}


def confidence_row(kind: str, tracker: str, samples: Sequence[Samples]) -> ConfidenceRow:
    """Pools the samples of a tracker."""
    certain = [one.in_sight | one.hidden for one in samples]
    confidence = np.concatenate([one.confidence[known] for one, known in zip(samples, certain, strict=True)])
    right = np.concatenate([one.right[known] for one, known in zip(samples, certain, strict=True)])
    reliability = Reliability.of(confidence, right)
    return ConfidenceRow(
        kind,
        tracker,
        len(samples),
        _visible_share(samples, lambda one: one.hidden),
        _visible_share(samples, lambda one: one.in_sight),
        _visible_share(samples, lambda one: ~one.in_sight & ~one.hidden),
        Share.of(
            [int((one.visible & one.right).sum()) for one in samples],
            [int((one.visible & known).sum()) for one, known in zip(samples, certain, strict=True)],
        ),
        area_under_curve(confidence, right),
        reliability.expected_error,
        reliability,
    )


def _visible_share(samples: Sequence[Samples], which: Callable[[Samples], np.ndarray]) -> Share:
    """Returns the share of the positions chosen that are visible."""
    return Share.of(
        [int((one.visible & which(one)).sum()) for one in samples], [int(which(one).sum()) for one in samples]
    )
