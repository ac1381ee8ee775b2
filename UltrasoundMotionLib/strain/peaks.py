"""Peaks of a curve, as `scipy.signal` finds them.

Importing that package takes half a second of processor time, during which an application that measures its first strain
would answer nobody.
"""

from __future__ import annotations

import numpy as np


def find_peaks(values: np.ndarray, *, prominence: float, distance: int) -> np.ndarray:
    """Returns the indices of the peaks of `values` (T,), as `scipy.signal.find_peaks` with these arguments.

    A plateau counts as one peak, at its middle. Of peaks closer than `distance` the highest stays; then those whose
    prominence is smaller than `prominence` go.
    """
    peaks = _most_distant(_local_maxima(values), values, distance)
    return peaks[peak_prominences(values, peaks) >= prominence]


def peak_prominences(values: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Returns by how much each peak (N,) rises above the higher of the two lowest points between it and a higher value
    on either side, as `scipy.signal.peak_prominences`.
    """
    prominences = np.zeros(len(peaks))
    for number, peak in enumerate(peaks):
        higher = np.flatnonzero(values > values[peak])
        left = higher[higher < peak].max(initial=-1) + 1
        right = higher[higher > peak].min(initial=len(values))
        prominences[number] = values[peak] - max(values[left : peak + 1].min(), values[peak:right].min())
    return prominences


def _local_maxima(values: np.ndarray) -> np.ndarray:
    changes = np.flatnonzero(np.diff(values)) + 1
    starts, ends = np.concatenate([[0], changes]), np.concatenate([changes, [len(values)]]) - 1
    levels = values[starts]
    inner = np.flatnonzero((levels[1:-1] > levels[:-2]) & (levels[1:-1] > levels[2:])) + 1
    return (starts[inner] + ends[inner]) // 2


def _most_distant(peaks: np.ndarray, values: np.ndarray, distance: int) -> np.ndarray:
    kept = np.ones(len(peaks), dtype=bool)
    for number in np.argsort(values[peaks])[::-1]:
        if kept[number]:
            close = np.abs(peaks - peaks[number]) < distance
            close[number] = False
            kept &= ~close
    return peaks[kept]
