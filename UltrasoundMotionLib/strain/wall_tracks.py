"""Tracks in the order of the contour, with gaps filled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.curve_geometry import check_contour, signed_area
from UltrasoundMotionLib.strain.wall_contour import find_apex, left_base_first
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


@dataclass(frozen=True)
class WallTracks:
    """Tracks of the points along a wall.

    Attributes:
        positions_px: (T, N, 2) in the contour's order, gaps filled; NaN before the first and after the last frame that
            was tracked.
        confidence: (T, N) confidence of the tracker.
        missing: (T, N) bool: not reached, or not visible.
        gap_frames: (T, N) length in frames of the gap that a missing point belongs to, 0 where it is visible.
        labels: N labels.
        notes: changes made to the tracks, one line each.
    """

    positions_px: np.ndarray
    confidence: np.ndarray
    missing: np.ndarray
    gap_frames: np.ndarray
    labels: tuple[str, ...]
    notes: tuple[str, ...] = ()


def wall_tracks(
    tracks: PointTracks, order: Sequence[str | int] | None = None, *, closed: bool = False, orientation: str = "auto"
) -> WallTracks:
    """Selects the points of one contour, checks them on the query frame, and fills gaps.

    Args:
        order: labels or indices of the contour's points in order; None takes all points as they are.
        closed: True for a ring.
        orientation: "auto" reverses apical contours that start on the right and clockwise rings; "mirrored" those that
            start on the left and counter-clockwise rings; "as given" none.

    Raises:
        InputError: unknown labels; frame times that do not increase; a spacing that is not positive; points that
            `check_contour` refuses; an apical contour that does not run from base over apex to base.
    """
    if tracks.times_s is not None and not np.all(np.diff(np.asarray(tracks.times_s, dtype=np.float64)) > 0):
        raise InputError("tracks: frame times must be finite and strictly increasing")
    scale = np.asarray(tracks.spacing_mm or (1.0, 1.0), dtype=np.float64)
    if scale.shape != (2,) or not np.all((scale > 0) & np.isfinite(scale)):
        raise InputError(f"tracks: spacing must be two positive numbers in mm (x, y), got {tracks.spacing_mm}")
    index = _indices(tracks, order)
    positions, confidence = tracks.positions_px[:, index], tracks.confidence[:, index]
    missing = ~(np.isfinite(positions).all(axis=2) & tracks.visible[:, index])
    missing[tracks.query_frame] = ~np.isfinite(positions[tracks.query_frame]).all(axis=1)
    labels = tuple(tracks.labels[i] for i in index)
    points = check_contour(positions[tracks.query_frame] * scale, closed, "tracks")
    notes: tuple[str, ...] = ()
    if closed:
        mirrored = bool(signed_area(points) > 0)  # runs the way that it does on a mirrored display
        reverse = np.roll(np.arange(len(index))[::-1], 1)
        orders = ("counter-clockwise as seen", "clockwise as seen")
    else:
        find_apex(points)  # raises where there is none
        mirrored = not left_base_first(points)
        reverse = np.arange(len(index))[::-1]
        orders = ("from the base on the left", "from the base on the right")
    if orientation != "as given" and mirrored != (orientation == "mirrored"):
        positions, confidence, missing = positions[:, reverse], confidence[:, reverse], missing[:, reverse]
        labels = tuple(labels[i] for i in reverse)
        note = f"the points were taken in reverse order, {orders[orientation == 'mirrored']}"
        if orientation == "auto":
            note += "; were the view displayed mirrored, the walls' names would be swapped: choose orientation mirrored"
        notes = (note,)
    filled = _fill_gaps(positions, missing, tracks.query_frame, closed)
    return WallTracks(filled, confidence, missing, _gap_lengths(missing), labels, notes)


def _indices(tracks: PointTracks, order: Sequence[str | int] | None) -> np.ndarray:
    if order is None:
        return np.arange(len(tracks.labels))
    by_label = {label: index for index, label in enumerate(tracks.labels)}
    indices = []
    for entry in order:
        index = by_label.get(entry) if isinstance(entry, str) else int(entry)
        if index is None or not 0 <= index < len(tracks.labels):
            raise InputError(f"order: there is no point {entry}; the tracks have {len(tracks.labels)} points")
        indices.append(index)
    if len(set(indices)) != len(indices):
        raise InputError("order: a point is named twice")
    return np.asarray(indices, dtype=int)


def _gaps(missing: np.ndarray) -> list[tuple[int, int, int]]:
    """Returns (point, first frame, frame after the last) of every run of missing frames."""
    gaps = []
    for point in np.flatnonzero(missing.any(axis=0)):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], missing[:, point].astype(int), [0]])))
        gaps += [(int(point), int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]
    return gaps


def _gap_lengths(missing: np.ndarray) -> np.ndarray:
    """Returns the length in frames (T, N) of the gap that a missing point belongs to.

    A gap at an end of the clip counts as long as the whole clip.
    """
    frame_count = len(missing)
    lengths = np.zeros(missing.shape, dtype=int)
    for point, start, end in _gaps(missing):
        lengths[start:end, point] = frame_count if start == 0 or end == frame_count else end - start
    return lengths


def _fill_gaps(positions: np.ndarray, missing: np.ndarray, query_frame: int, closed: bool) -> np.ndarray:
    """Fills gaps with the motion of the nearest points on either side that are visible throughout the gap.

    The difference to the point's own motion at the gap's ends is added, linear in time; where no point is visible
    throughout the gap, the interpolation in time is all. Frames before the first and after the last that has any point
    (a cancelled run) stay NaN.
    """
    frame_count, point_count = missing.shape
    displacement = positions - positions[query_frame]
    filled = displacement.copy()
    filled[missing] = np.nan
    for point, start, end in _gaps(missing):
        window = slice(max(0, start - 1), min(frame_count, end + 1))
        known = np.flatnonzero(~missing[window].any(axis=0))
        ends = [frame for frame in (start - 1, end) if 0 <= frame < frame_count]
        steps = (known - point) % point_count if closed else known - point
        after = known[steps > 0][np.argmin(steps[steps > 0])] if np.any(steps > 0) else None
        steps = (point - known) % point_count if closed else point - known
        before = known[steps > 0][np.argmin(steps[steps > 0])] if np.any(steps > 0) else None
        if before is None and after is None:
            moved = np.zeros((frame_count, 2))
        elif before is None or after is None:
            moved = displacement[:, after if before is None else before]
        else:
            ahead, behind = (after - point) % point_count, (point - before) % point_count
            moved = (ahead * displacement[:, before] + behind * displacement[:, after]) / (ahead + behind)
        frames = np.arange(start, end)
        for axis in range(2):
            offset = np.interp(frames, ends, displacement[ends, point, axis] - moved[ends, axis])
            filled[start:end, point, axis] = moved[start:end, axis] + offset
    tracked = np.flatnonzero(~missing.all(axis=1))
    filled[: tracked[0]] = filled[tracked[-1] + 1 :] = np.nan
    return positions[query_frame] + filled
