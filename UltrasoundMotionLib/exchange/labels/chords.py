"""Tracings of a ventricle as EchoNet keeps them, chords across a long axis, and contours along the wall."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.errors import InputError

CHORDS = 20
POINTS = 49
_FEWEST_CHORDS = 6


def curve_of_chords(chords: np.ndarray) -> np.ndarray:
    """Returns the ends of chords as a curve (2 C, 2) from base over apex to base.

    Args:
        chords: (C + 1, 4) x1, y1, x2, y2: the long axis first, then chords across it in order, as in EchoNet-Dynamic's
            `VolumeTracings.csv`. The apex is at the end whose chord is the shorter.

    Raises:
        InputError: too few chords.
    """
    across = np.asarray(chords, dtype=np.float64)[1:]
    if len(across) < _FEWEST_CHORDS:
        raise InputError(f"{len(across)} chords do not make a contour; at least {_FEWEST_CHORDS} are needed")
    lengths = np.hypot(across[:, 2] - across[:, 0], across[:, 3] - across[:, 1])
    if lengths[0] < lengths[-1]:
        across = across[::-1]  # from the base to the apex
    return np.concatenate([across[:, :2], across[::-1, 2:]])


def contour_of_chords(chords: np.ndarray) -> np.ndarray:
    """Returns points (49, 2) px along the wall, from the base on the left over the apex to the base on the right.

    Args:
        chords: as in `curve_of_chords`.

    Raises:
        InputError: too few chords, or a contour that `contour_from_curve` refuses.
    """
    from UltrasoundMotionLib.strain.wall_contour import contour_from_curve  # not for other formats: it takes a while

    curve = curve_of_chords(chords)
    apart = np.r_[True, np.linalg.norm(np.diff(curve, axis=0), axis=1) > 1e-6]
    return contour_from_curve(curve[apart], POINTS).points_px


def chords_of_curve(curve: np.ndarray, axis: np.ndarray | None = None) -> np.ndarray:
    """Returns the long axis and chords (C + 1, 4) of a contour (N, 2) from base over apex to base.

    Args:
        axis: (2, 2), the ends of the long axis, with which the points are taken as the chords' ends: `curve_of_chords`
            backwards. Without it, 20 chords at right angles to the line from the apex to the middle of the base, evenly
            spaced, as EchoNet's are.

    Raises:
        InputError: a contour without an apex between its ends, or that a chord meets on one side only.
    """
    from UltrasoundMotionLib.strain.wall_contour import find_apex

    curve = np.asarray(curve, dtype=np.float64)
    if axis is not None:
        half = len(curve) // 2
        across = np.concatenate([curve[:half], curve[: half - 1 : -1]], axis=1)
        return np.concatenate([np.reshape(axis, (1, 4)), across])
    top = find_apex(curve)
    apex, base = curve[top], (curve[0] + curve[-1]) / 2
    along = (base - apex) / np.linalg.norm(base - apex)
    length = float(np.linalg.norm(base - apex))
    sides = []
    for side in (curve[: top + 1][::-1], curve[top:]):  # from the apex to the base
        down = np.maximum.accumulate((side - apex) @ along)
        if down[-1] < length * (1 - 0.5 / CHORDS) - 1e-6 * length:
            raise InputError("a chord near the base meets the contour on one side only; draw both sides to the base")
        places = (np.arange(CHORDS) + 0.5) / CHORDS * length
        sides.append(np.stack([np.interp(places, down, side[:, 0]), np.interp(places, down, side[:, 1])], axis=1))
    return np.concatenate([np.r_[apex, base][None], np.concatenate(sides, axis=1)])
