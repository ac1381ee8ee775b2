"""Contours of the left ventricle as public data sets keep them, as points along the wall."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.wall_contour import contour_from_curve

POINTS = 49
_FEWEST_CHORDS = 6
_BINS = 61


def contour_of_chords(chords: np.ndarray) -> np.ndarray:
    """Returns points (49, 2) px along the wall, from the base on the left over the apex to the base on the right.

    Args:
        chords: (C, 4) x1, y1, x2, y2: the long axis first, then chords across it in order, as EchoNet-Dynamic's
            tracings have them. The apex is at the end whose chord is the shorter.

    Raises:
        InputError: too few chords, or a contour that `contour_from_curve` refuses.
    """
    across = np.asarray(chords, dtype=np.float64)[1:]
    if len(across) < _FEWEST_CHORDS:
        raise InputError(f"{len(across)} chords do not make a contour; at least {_FEWEST_CHORDS} are needed")
    lengths = np.hypot(across[:, 2] - across[:, 0], across[:, 3] - across[:, 1])
    if lengths[0] < lengths[-1]:
        across = across[::-1]  # from the base to the apex
    curve = np.concatenate([across[:, :2], across[::-1, 2:]])
    apart = np.r_[True, np.linalg.norm(np.diff(curve, axis=0), axis=1) > 1e-6]
    return contour_from_curve(curve[apart], POINTS).points_px


def contour_of_cavity(mask: np.ndarray, *, cavity: int, muscle: int) -> np.ndarray:
    """Returns points (49, 2) px along the border of the cavity where it meets the muscle, from the base on the left
    over the apex to the base on the right.

    Args:
        mask: (H, W) labels.

    Raises:
        InputError: a mask without cavity or muscle, or a border that `contour_from_curve` refuses.
    """
    inside, wall = mask == cavity, mask == muscle
    touching = np.zeros_like(inside)
    padded = np.pad(wall, 1)
    for row, column in ((0, 1), (2, 1), (1, 0), (1, 2)):
        touching |= padded[row : row + mask.shape[0], column : column + mask.shape[1]]
    y, x = np.nonzero(inside & touching)
    if len(x) < _FEWEST_CHORDS:
        raise InputError(f"the mask has no border of label {cavity} with label {muscle}")
    rows, columns = np.nonzero(inside)
    angle = np.arctan2(y - rows.mean(), x - columns.mean())
    # begin after the widest gap in angle: the base, where there is no muscle
    order = np.argsort(angle)
    gaps = np.diff(np.r_[angle[order], angle[order[0]] + 2 * np.pi])
    turned = np.mod(angle - angle[order[(int(np.argmax(gaps)) + 1) % len(order)]], 2 * np.pi)
    edges = np.linspace(0, turned.max() + 1e-9, _BINS)
    place = np.digitize(turned, edges)
    middle = [(x[place == one].mean(), y[place == one].mean()) for one in np.unique(place)]
    return contour_from_curve(np.array(middle), POINTS).points_px
