"""Disagreement of several observers who tracked or corrected the same points in the same clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

LIMITS = 1.96
"""Standard deviations on both sides of the mean within which 95 % of normally distributed differences lie."""


@dataclass(frozen=True)
class PairAgreement:
    """Agreement of two observers over the positions that both see; lengths in the unit of `ObserverDisagreement`.

    Attributes:
        observers: their names; differences are the first's position less the second's.
        placed: True where only positions that both placed or accepted by hand count.
        count: number of positions.
        mean, std, percentile_95, maximum: of the distance between the two positions; NaN without any, and the standard
            deviation (n - 1) NaN below two.
        bias: (x, y) mean difference.
        lower, upper: (x, y) 95 % limits of agreement, bias -+ 1.96 standard deviations (n - 1) of the difference (Bland
            and Altman, Lancet 1986). They take positions for independent: frames of one point are not, so that the
            limits say how far positions lie apart, not how sure the limits are.
        visibility: share of all positions on which both say visible, or both not.
    """

    observers: tuple[str, str]
    placed: bool
    count: int
    mean: float
    std: float
    percentile_95: float
    maximum: float
    bias: tuple[float, float]
    lower: tuple[float, float]
    upper: tuple[float, float]
    visibility: float


@dataclass(frozen=True, eq=False)
class ObserverDisagreement:
    """Disagreement of two or more observers.

    Attributes:
        observers: their names.
        labels: (N,) points that all of them have, in the order of the first.
        distance: (T, N) mean distance of all pairs of observers who see the point on the frame; NaN where fewer than
            two do.
        unit: "mm", or "px" where the pixel size is unknown.
        pairs: of every two observers, once over all positions and once over those placed by both.
        times_s: (T,) or None.
    """

    observers: tuple[str, ...]
    labels: tuple[str, ...]
    distance: np.ndarray
    unit: str
    pairs: tuple[PairAgreement, ...]
    times_s: np.ndarray | None = None

    @property
    def by_frame(self) -> np.ndarray:
        """(T,) mean over the points, NaN where none counts."""
        return _mean(self.distance, axis=1)

    @property
    def by_point(self) -> np.ndarray:
        """(N,) mean over the frames, NaN where none counts."""
        return _mean(self.distance, axis=0)


def compare_observers(
    tracks: Mapping[str, PointTracks], placed: Mapping[str, np.ndarray] | None = None
) -> ObserverDisagreement:
    """Compares the tracks of observers by label and frame.

    Args:
        tracks: of each observer, by name; of the same clip.
        placed: (T, N) bool for each observer, in the order of the labels of its tracks: where the position was placed
            or accepted by hand. None: unknown, and the pairs are compared over all positions only.

    Raises:
        InputError: fewer than two observers, different numbers of frames or pixel sizes, no point in common.
    """
    names = tuple(tracks)
    if len(names) < 2:
        raise InputError(f"observers: two or more are needed, got {', '.join(names) or 'none'}")
    first = tracks[names[0]]
    for name in names[1:]:
        other = tracks[name]
        if len(other.positions_px) != len(first.positions_px):
            raise InputError(
                f"observers: {name} has {len(other.positions_px)} frames, {names[0]} has {len(first.positions_px)}"
            )
        if other.spacing_mm != first.spacing_mm:
            raise InputError(f"observers: {name} has pixels of {other.spacing_mm} mm, {names[0]} {first.spacing_mm} mm")
    labels = tuple(label for label in first.labels if all(label in one.labels for one in tracks.values()))
    if not labels:
        raise InputError(f"observers: {' and '.join(names)} have no point in common")
    scale = np.asarray(first.spacing_mm or (1.0, 1.0))
    positions, seen, by_hand = [], [], []
    for name in names:
        one = tracks[name]
        columns = [one.labels.index(label) for label in labels]
        positions.append(one.positions_px[:, columns] * scale)
        seen.append(one.visible[:, columns] & np.isfinite(one.positions_px[:, columns]).all(axis=2))
        by_hand.append(None if placed is None else np.asarray(placed[name], dtype=bool)[:, columns])
    pairs, distances = [], []
    for a, b in combinations(range(len(names)), 2):
        difference = positions[a] - positions[b]
        both = seen[a] & seen[b]
        distances.append(np.where(both, np.linalg.norm(difference, axis=2), np.nan))
        same = float(np.mean(seen[a] == seen[b]))
        pair = names[a], names[b]
        pairs.append(_agreement(pair, difference[both], same, placed=False))
        hand_a, hand_b = by_hand[a], by_hand[b]
        if hand_a is not None and hand_b is not None:
            pairs.append(_agreement(pair, difference[both & hand_a & hand_b], same, placed=True))
    return ObserverDisagreement(
        names,
        labels,
        _mean(np.stack(distances), axis=0),
        "px" if first.spacing_mm is None else "mm",
        tuple(pairs),
        first.times_s,
    )


def _agreement(pair: tuple[str, str], difference: np.ndarray, visibility: float, *, placed: bool) -> PairAgreement:
    """The agreement of differences (K, 2)."""
    count = len(difference)
    distance = np.linalg.norm(difference, axis=1)
    nothing = float("nan")
    bias = difference.mean(axis=0) if count else np.full(2, np.nan)
    spread = LIMITS * difference.std(axis=0, ddof=1) if count > 1 else np.full(2, np.nan)
    return PairAgreement(
        observers=pair,
        placed=placed,
        count=count,
        mean=float(distance.mean()) if count else nothing,
        std=float(distance.std(ddof=1)) if count > 1 else nothing,
        percentile_95=float(np.percentile(distance, 95)) if count else nothing,
        maximum=float(distance.max()) if count else nothing,
        bias=(float(bias[0]), float(bias[1])),
        lower=(float(bias[0] - spread[0]), float(bias[1] - spread[1])),
        upper=(float(bias[0] + spread[0]), float(bias[1] + spread[1])),
        visibility=visibility,
    )


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """The mean over the finite values of an axis; NaN where there is none."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
