"""Statistics over cases: their spread, and the difference of two methods on the same cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 10_000
SEED = 0
LEVEL = 0.95


@dataclass(frozen=True)
class CaseStatistics:
    """Spread of one number over cases.

    Attributes:
        count: of the cases whose number is finite.
        mean, median: over them; None of no case.
        std: standard deviation (n - 1); None of fewer than two cases.
    """

    count: int
    mean: float | None
    std: float | None
    median: float | None

    @classmethod
    def of(cls, values: Sequence[float]) -> CaseStatistics:
        """Statistics of the finite values."""
        finite = np.asarray(values, dtype=np.float64)
        finite = finite[np.isfinite(finite)]
        if not finite.size:
            return cls(0, None, None, None)
        std = float(finite.std(ddof=1)) if finite.size > 1 else None
        return cls(finite.size, float(finite.mean()), std, float(np.median(finite)))


@dataclass(frozen=True)
class PairedDifference:
    """Mean difference between two methods over the cases that both have, with its bootstrap interval, and the p value
    of Wilcoxon's signed-rank test, two-sided (exact up to 50 cases without ties and zeros).
    """

    count: int
    mean: float
    low: float
    high: float
    p_value: float


def paired_difference(
    values: Mapping[str, float],
    reference: Mapping[str, float],
    *,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = SEED,
) -> PairedDifference | None:
    """Returns the mean of `values` minus `reference` over their common cases and its percentile bootstrap interval
    (Efron and Tibshirani 1993, chapter 13): cases are drawn with replacement, each with both of its numbers.

    Numbers that are not finite leave their case out. The interval of few cases is too narrow: with fewer than ten, take
    it as a hint.

    Args:
        values, reference: a number per case.
        draws: resamples of the cases.
        level: of the interval.
        seed: of the draws; the same seed and number of cases give the same draws.

    Returns:
        None when fewer than two cases have both numbers.
    """
    common = [case for case in values if case in reference]
    differences = np.array([values[case] - reference[case] for case in common], dtype=np.float64)
    differences = differences[np.isfinite(differences)]
    if differences.size < 2:
        return None
    low, high = bootstrap_interval(differences, draws=draws, level=level, seed=seed)
    return PairedDifference(differences.size, float(differences.mean()), low, high, _signed_rank(differences))


def _signed_rank(differences: np.ndarray) -> float:
    """Returns the p value of Wilcoxon's test; 1 where all differences are zero."""
    from scipy.stats import wilcoxon

    return float(wilcoxon(differences).pvalue) if np.any(differences) else 1.0


def bootstrap_interval(
    values: np.ndarray, *, draws: int = DRAWS, level: float = LEVEL, seed: int = SEED
) -> tuple[float, float]:
    """Returns the percentile bootstrap interval of the mean of values (N,); NaN of fewer than two."""
    values = np.asarray(values, dtype=np.float64)
    if values.size < 2:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(values.size, size=(draws, values.size))
    tail = (1 - level) / 2
    low, high = np.quantile(values[drawn].mean(axis=1), (tail, 1 - tail))
    return float(low), float(high)
