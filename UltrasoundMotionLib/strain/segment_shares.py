"""The fraction of each piece of a contour that lies in each segment."""

from __future__ import annotations

import numpy as np


def segment_shares(piece_lengths: np.ndarray, segment_count: int, apex_arc: float | None = None) -> np.ndarray:
    """Returns the fraction (P, S) of each piece of the end-diastolic contour in each segment, all of equal length.

    Segments are parts of equal length at end-diastole and then move with the tissue (Voigt et al. 2015). A segment's
    border between two points divides their piece, so that the segments' lengths always sum to the contour's.

    Args:
        piece_lengths: (P,) lengths at end-diastole, in order.
        apex_arc: distance of the apex along the contour: each wall's segments are then equal parts of its own length;
            None cuts the whole contour into equal parts.
    """
    arc = np.concatenate([[0.0], np.cumsum(piece_lengths)])
    edges = np.linspace(0.0, arc[-1], segment_count + 1)
    if apex_arc is not None:
        half = segment_count // 2
        edges = np.concatenate(
            [np.linspace(0.0, apex_arc, half + 1), np.linspace(apex_arc, arc[-1], segment_count - half + 1)[1:]]
        )
    overlap = np.minimum(arc[1:, None], edges[None, 1:]) - np.maximum(arc[:-1, None], edges[None, :-1])
    return np.clip(overlap, 0.0, None) / np.maximum(piece_lengths, 1e-9 * arc[-1])[:, None]


def segment_of_points(shares: np.ndarray, closed: bool) -> np.ndarray:
    """Returns the segment (N,) that holds most of the two pieces that meet at each point."""
    before, after = _shares_before_and_after(shares, closed)
    return np.argmax(before + after, axis=1)


def point_shares(shares: np.ndarray, closed: bool) -> np.ndarray:
    """Returns the weight (N, S) of each point in each segment: half of the shares of the two pieces that meet there."""
    before, after = _shares_before_and_after(shares, closed)
    return (before + after) / 2


def _shares_before_and_after(shares: np.ndarray, closed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Returns the shares (N, S) of the pieces before and after each point, 0 beyond the ends of an open contour."""
    if closed:
        return np.roll(shares, 1, axis=0), shares
    return np.pad(shares, ((1, 0), (0, 0))), np.pad(shares, ((0, 1), (0, 0)))
