"""Forward-backward error: an error of tracking that needs no ground truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.query import PointQuery


@dataclass(frozen=True)
class ForwardBackward:
    """Distances (N,) between query points and their positions after tracking forwards and backwards.

    In px and, if the spacing is known, in mm; NaN for a point outside the image on the last frame, which cannot be
    tracked back.
    """

    error_px: np.ndarray
    error_mm: np.ndarray | None

    @property
    def median_px(self) -> float:
        """The median of the points that were tracked back; NaN if none was."""
        return float(np.nanmedian(self.error_px)) if np.isfinite(self.error_px).any() else float("nan")

    @property
    def left_image_count(self) -> int:
        """The number of points outside the image on the last frame."""
        return int(np.count_nonzero(~np.isfinite(self.error_px)))


def forward_backward_error(
    sequence: ImageSequence,
    query_points: np.ndarray,
    track: Callable[[ImageSequence, np.ndarray, int], PointTracks],
    *,
    query_frame: int = 0,
) -> ForwardBackward:
    """Tracks points (N, 2) from the query frame to the last frame, and back to the query frame.

    Args:
        sequence: the frames.
        query_points: (N, 2).
        track: called as `track(sequence, points, query_frame)`; the backward call is independent of the forward one.
        query_frame: the frame of the points.

    Raises:
        InputError: as `PointQuery.on` and `track`.
    """
    points = PointQuery.on(sequence, query_points, frame=query_frame).points_px
    last = len(sequence) - 1
    width, height = sequence.frame_size
    forward = track(sequence, points, query_frame).positions_px[last]
    inside = np.all((forward >= -0.5) & (forward <= [width - 0.5, height - 0.5]), axis=1)
    difference = np.full(points.shape, np.nan)
    if inside.any():
        backward = track(sequence, forward[inside], last).positions_px[query_frame]
        difference[inside] = backward - points[inside]
    spacing = sequence.spacing_mm
    return ForwardBackward(
        error_px=np.linalg.norm(difference, axis=1),
        error_mm=None if spacing is None else np.linalg.norm(difference * spacing, axis=1),
    )
