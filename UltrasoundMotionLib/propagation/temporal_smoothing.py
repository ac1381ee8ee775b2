"""Smoothing of positions over time, as a matrix of weights between frames."""

from __future__ import annotations

from enum import Enum

import numpy as np

from UltrasoundMotionLib.errors import InputError


class SmoothingMethod(Enum):
    """The kind of smoothing."""

    GAUSSIAN = "gaussian"
    SAVITZKY_GOLAY = "savitzky-golay"


_ORDER = 2
"""Degree of the polynomials of Savitzky-Golay smoothing: a parabola keeps the height of a peak."""


def smoothing_matrix(
    times: np.ndarray, width: float, method: SmoothingMethod = SmoothingMethod.GAUSSIAN, *, periodic: bool = False
) -> np.ndarray:
    """Returns the weights (T, T): smoothed = weights @ values, for values of any shape (T, ...).

    Gaussian: weighted means, exp(-(t - s)^2 / (2 width^2)). Savitzky-Golay (Savitzky and Golay, Anal. Chem. 36, 1964):
    the value of a parabola fitted within `width` of each frame, on irregular times too. Each row sums to one, so that
    what rests stays.

    Args:
        times: (T,) increasing, in seconds or frames.
        width: in the unit of the times: the Gaussian's standard deviation, or half the window of Savitzky-Golay.
        periodic: the last frame is followed by the first (one beat), after the mean interval; otherwise the ends use
            the frames on one side only.

    Raises:
        InputError: times that do not increase, a width that is not positive, or a window that holds fewer than four
            frames (a parabola would pass through three). At the ends the four nearest frames are used in any case.
    """
    times = np.asarray(times, dtype=np.float64)
    if times.ndim != 1 or len(times) < 2 or not (np.diff(times) > 0).all():
        raise InputError("smoothing needs two frames or more, with times that increase")
    if not width > 0:
        raise InputError(f"the width of smoothing must be positive, got {width:g}")
    difference = times[None] - times[:, None]
    period = (times[-1] - times[0]) * len(times) / (len(times) - 1)
    rounds = int(np.ceil(5 * width / period)) if periodic else 0
    shifted = np.stack([difference + turn * period for turn in range(-rounds, rounds + 1)])
    if method is SmoothingMethod.GAUSSIAN:
        weights = np.exp(-0.5 * (shifted / width) ** 2).sum(axis=0)
        return weights / weights.sum(axis=1, keepdims=True)
    at_end = (times - width < times[0]) | (times + width > times[-1]) if not periodic else np.zeros(len(times), bool)
    return np.stack(
        [_parabola_weights(row, width, extend) for row, extend in zip(shifted.transpose(1, 0, 2), at_end, strict=True)]
    )


def _parabola_weights(difference: np.ndarray, half: float, extend: bool) -> np.ndarray:
    """Returns the weights (T,) of the parabola's value at 0, for time differences (turns, T)."""
    reach = half * (1 + 1e-9)
    if extend and difference.size > _ORDER + 1:
        reach = max(reach, np.sort(np.abs(difference), axis=None)[_ORDER + 1])
    turn, frame = np.nonzero(np.abs(difference) <= reach)
    if len(frame) < _ORDER + 2:
        raise InputError(
            f"a window of {half:g} on each side holds {len(frame)} frames; Savitzky-Golay needs {_ORDER + 2}: widen it"
        )
    powers = (difference[turn, frame] / half)[:, None] ** np.arange(_ORDER + 1)
    weights = np.zeros(difference.shape[1])
    np.add.at(weights, frame, np.linalg.pinv(powers)[0])
    return weights
