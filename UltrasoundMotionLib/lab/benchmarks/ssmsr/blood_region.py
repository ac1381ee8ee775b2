"""The region of the blood in every frame of a contrast echocardiogram, from masks of a few (Zhu et al., III-A)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from UltrasoundMotionLib.errors import InputError

POINTS = 100
"""Points of a contour that is fitted to a mask's border."""

_FINE_POINTS = 400
_STEPS, _STEP = 400, 0.2
_TENSION, _RIGIDITY = 0.02, 0.05
_SMOOTHING = 0.01


def blood_contours(masks: Mapping[int, np.ndarray], frame_count: int) -> np.ndarray:
    """Returns the contour of the blood in every frame, (T, 100, 2) pixels (x, y).

    An active contour is fitted to the border of each mask; points of frames between masks are interpolated linearly,
    frames before the first mask and after the last have its contour.

    Args:
        masks: (H, W), above 0 in the blood, by the number of their frame: at the ends of systole and diastole.
        frame_count: number of frames.

    Raises:
        InputError: fewer than two masks, one without inside or outside, a frame that does not exist.
    """
    numbers = sorted(masks)
    if len(numbers) < 2:
        raise InputError(f"blood: expected masks of two frames or more, got {len(numbers)}")
    if numbers[0] < 0 or numbers[-1] >= frame_count:
        raise InputError(f"blood: masks of frames {numbers[0]} to {numbers[-1]}, the clip has 0 to {frame_count - 1}")
    contours = np.stack([fit_contour(np.asarray(masks[number]) > 0) for number in numbers])
    flat = contours.reshape(len(numbers), -1)
    points = [np.interp(np.arange(frame_count), numbers, values) for values in flat.T]
    return np.stack(points, axis=1).reshape(frame_count, POINTS, 2)


def region_of(contour: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the pixels (H, W) bool whose centres lie in the smooth border of a contour (100, 2)."""
    from UltrasoundMotionLib.propagation.polygon import inside_polygon

    border = smooth_border(contour)
    region = np.zeros(shape, dtype=bool)
    first = np.clip(np.floor(border.min(axis=0)), 0, None).astype(int)
    last = np.ceil(border.max(axis=0)).astype(int) + 1
    part = region[first[1] : max(last[1], 0), first[0] : max(last[0], 0)]
    rows, columns = np.indices(part.shape)
    points = np.stack([columns.ravel(), rows.ravel()], axis=1) + first
    part[:] = inside_polygon(points, border).reshape(part.shape)
    return region


def fit_contour(mask: np.ndarray) -> np.ndarray:
    """Fits an active contour (Kass et al., 1988) to the border of a mask, (100, 2) pixels (x, y).

    Points begin at equal angles along a circle about the mask's centre with its area; each is pushed along the
    contour's normal by its distance from the border, outward in the mask and inward outside, against tension and
    rigidity.

    Raises:
        InputError: a mask without inside or outside.
    """
    from scipy.ndimage import distance_transform_edt, map_coordinates

    if mask.ndim != 2 or not mask.any() or mask.all():
        raise InputError(f"blood: expected a mask (H, W) with an inside and an outside, got {mask.shape}")
    outward = distance_transform_edt(mask) - distance_transform_edt(~mask)
    outward -= 0.5 * np.sign(outward)  # the border is half-way between the pixels on its sides
    rows, columns = np.nonzero(mask)
    angles = 2 * np.pi * np.arange(POINTS) / POINTS
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    points = np.array([columns.mean(), rows.mean()]) + np.sqrt(mask.sum() / np.pi) * circle
    second = np.roll(np.eye(POINTS), 1, axis=1) + np.roll(np.eye(POINTS), -1, axis=1) - 2 * np.eye(POINTS)
    implicit = np.linalg.inv(np.eye(POINTS) - _STEP * (_TENSION * second - _RIGIDITY * second @ second))
    most = np.array(mask.shape[::-1]) - 1.0
    for _ in range(_STEPS):
        along = np.roll(points, -1, axis=0) - np.roll(points, 1, axis=0)
        normal = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.linalg.norm(along, axis=1, keepdims=True)
        push = map_coordinates(outward, np.clip(points, 0, most).T[::-1], order=1)
        points = implicit @ (points + _STEP * push[:, None] * normal)
    return points


def smooth_border(points: np.ndarray) -> np.ndarray:
    """Returns a closed smooth border (400, 2) of contour points (N, 2) in order, by radial basis functions of the
    place along the contour.
    """
    from scipy.interpolate import RBFInterpolator

    def on_circle(count: int) -> np.ndarray:
        angles = 2 * np.pi * np.arange(count) / count
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)

    return RBFInterpolator(on_circle(len(points)), points, smoothing=_SMOOTHING)(on_circle(_FINE_POINTS))
