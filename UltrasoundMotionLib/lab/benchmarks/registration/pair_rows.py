"""Measures of one registered pair, and of one method over all pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class PairResult:
    """One pair: Dice and HD95 per label (nearest-neighbour labels on the fixed grid), Jacobian over the whole grid and
    inside the fixed labels, wall and processor seconds.

    `peak_bytes` is the most memory that the process had held by then. On Learn2Reg's pairs Dice and HD95 are the
    challenge's, which counts in voxels of 1 mm, and `sdlogj` is its standard deviation of log(J + 3); else it is None.
    """

    pair: str
    dice: dict[int, float]
    hd95_mm: dict[int, float]
    std_log_jacobian: float
    nonpositive: float
    std_log_jacobian_inside: float
    nonpositive_inside: float
    seconds: float
    processor_seconds: float
    peak_bytes: int
    sdlogj: float | None = None

    def __post_init__(self) -> None:
        for name in ("dice", "hd95_mm"):  # JSON has labels as text
            object.__setattr__(self, name, {int(label): value for label, value in getattr(self, name).items()})

    @property
    def mean_dice(self) -> float:
        """Over the labels that either map has."""
        return _known_mean(self.dice)

    @property
    def mean_hd95(self) -> float:
        """Over the labels that either map has."""
        return _known_mean(self.hd95_mm)


def _known_mean(by_label: Mapping[int, float]) -> float:
    values = [value for value in by_label.values() if not math.isnan(value)]
    return float(np.mean(values)) if values else math.nan


@dataclass(frozen=True)
class MethodResult:
    """One method over all pairs.

    Attributes:
        method: as it was asked for.
        missing: says why there are no pairs.
        label_names: names of the labels, for JSON.
    """

    method: str
    pairs: tuple[PairResult, ...]
    missing: str = ""
    label_names: Mapping[int, str] = field(default_factory=dict)

    @property
    def peak_bytes(self) -> int:
        """The most memory that a process of the method held."""
        return max((pair.peak_bytes for pair in self.pairs), default=0)

    def mean(self, name: str) -> float:
        """Mean of a number over the pairs."""
        return float(np.mean([getattr(pair, name) for pair in self.pairs]))

    def median(self, name: str) -> float:
        """Median of a number over the pairs. Seconds are given so, since other work on the machine only ever adds to
        some.
        """
        return float(np.median([getattr(pair, name) for pair in self.pairs]))

    def label_mean(self, name: str, label: int) -> float:
        """Mean of `dice` or `hd95_mm` of a label, over the pairs where it is finite."""
        values = [getattr(pair, name).get(label, math.nan) for pair in self.pairs]
        finite = [value for value in values if math.isfinite(value)]
        return float(np.mean(finite)) if finite else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it; labels by their names."""

        def content(pair: PairResult) -> dict[str, Any]:
            by_name = {
                one: {self.label_names.get(label, str(label)): value for label, value in getattr(pair, one).items()}
                for one in ("dice", "hd95_mm")
            }
            return asdict(pair) | by_name

        return {"method": self.method, "missing": self.missing, "pairs": [content(pair) for pair in self.pairs]}
