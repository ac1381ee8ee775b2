"""The insonified area of a clip: the pixels that change, their convex hull, and the near field above it."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.images.colour import sample_indices
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.images.morphology import binary_closing, binary_dilation, binary_opening, convex_hull, label

_CHANGES, _LIT = 8, 8
_LEAST_NEAR_FIELD = 1e-3


def sector_mask(sequence: ImageSequence) -> np.ndarray:
    """Finds the insonified area (H, W) bool: the convex hull of the pixels that change, without thin traces.

    From up to 32 frames spread over the clip; a side of the sector that is black in all of them is not included. The
    near field, which may stand still, is: what is lit above the hull and hangs together with it. All True for a single
    frame, or if nothing changes.
    """
    return sector_of(sampled_grey(sequence))


def sampled_grey(sequence: ImageSequence) -> np.ndarray:
    """Returns a few frames (N, H, W) float32, scaled so that the picture's range is 255."""
    stack = np.stack([sequence.frame(index) for index in sample_indices(len(sequence))])
    low, high = float(stack.min()), float(stack.max())
    if sequence.frames.dtype == np.uint8 or high <= low:
        return stack
    return (stack - low) * (255.0 / (high - low))


def sector_of(grey: np.ndarray) -> np.ndarray:
    """Returns the insonified area (H, W) of sampled frames (N, H, W)."""
    span = np.ptp(grey, axis=0)
    # an opening wider than a trace removes traces and keeps the image
    width = _trace_width(span.shape)
    labels, count = label(binary_opening(binary_closing(span > _CHANGES, iterations=2), iterations=width))
    if count == 0:
        return np.ones(span.shape, dtype=bool)
    sizes = np.bincount(labels.ravel())[1:]
    hull = convex_hull(np.isin(labels, 1 + np.flatnonzero(sizes >= 0.1 * sizes.max())))
    return hull | near_field(grey, hull)


def _trace_width(shape: tuple[int, ...]) -> int:
    return max(2, round(0.008 * min(shape)))


def near_field(grey: np.ndarray, hull: np.ndarray) -> np.ndarray:
    """Returns the near field above the hull of the changing pixels, (H, W) bool.

    Reverberations in front of the probe stand still, so that they do not show as changing. They are lit, thicker than
    text, no wider than the top of the hull, and hang together with it.
    """
    rows = np.flatnonzero(hull.any(axis=1))
    depth = rows[-1] - rows[0] + 1
    top = hull[rows[0] : rows[0] + max(1, depth // 10)]
    columns = np.flatnonzero(top.any(axis=0))
    if rows[0] == 0:
        return np.zeros_like(hull)
    margin = max(2, round(0.05 * (columns[-1] - columns[0] + 1)))
    mean = grey.mean(axis=0)
    outside = ~binary_dilation(hull, iterations=3)
    background = float(np.median(mean[outside])) if outside.any() else 0.0
    lit = binary_opening(mean > background + _LIT, iterations=2)
    within = np.zeros_like(hull)
    # no further above the hull than a quarter of its depth: what lies there is the name of the hospital
    first = max(0, rows[0] - depth // 4)
    within[first : rows[0] + top.shape[0], max(0, columns[0] - margin) : columns[-1] + margin + 1] = True
    labels, _ = label((lit & within) | hull)
    joined = (labels == labels[hull][0]) & ~hull
    # a few pixels are the rim of the hull, blurred
    return joined & (joined.sum() > _LEAST_NEAR_FIELD * hull.sum())
