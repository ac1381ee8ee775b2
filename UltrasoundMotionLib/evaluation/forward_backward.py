"""How far points miss their start after being tracked to the last frame and back: an error that needs no truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.tracking.point_tracks import PointTracks
from UltrasoundMotionLib.tracking.query import PointQuery


@dataclass(frozen=True)
class ForwardBackward:
    """Distances (N,) between where the points were given and where the way back ends, in px and, where the spacing is
    known, in mm.

    NaN: the point had left the image on the last frame, so that there is no way back.
    """

    error_px: np.ndarray
    error_mm: np.ndarray | None

    @property
    def median_px(self) -> float:
        """Over the points that came back; NaN when none did."""
        return float(np.nanmedian(self.error_px)) if np.isfinite(self.error_px).any() else float("nan")

    @property
    def left_image_count(self) -> int:
        """How many points had left the image."""
        return int(np.count_nonzero(~np.isfinite(self.error_px)))


def forward_backward_error(
    sequence: ImageSequence,
    query_points: np.ndarray,
    track: Callable[[ImageSequence, np.ndarray, int], PointTracks],
    *,
    query_frame: int = 0,
) -> ForwardBackward:
    """Tracks points (N, 2) from the query frame to the last frame, and from where they are there back to the query
    frame.

    Args:
        track: called as `track(sequence, points, query_frame)`; the way back starts on the last frame and knows nothing
            of the way there.

    Raises:
        InputError: see `PointQuery.on`; whatever `track` raises.
    """
    points = PointQuery.on(sequence, query_points, frame=query_frame).points_px
    last = len(sequence) - 1
    width, height = sequence.frame_size
    there = track(sequence, points, query_frame).positions_px[last]
    inside = np.all((there >= -0.5) & (there <= [width - 0.5, height - 0.5]), axis=1)
    difference = np.full(points.shape, np.nan)
    if inside.any():
        back = track(sequence, there[inside], last).positions_px[query_frame]
        difference[inside] = back - points[inside]
    spacing = sequence.spacing_mm
    return ForwardBackward(
        error_px=np.linalg.norm(difference, axis=1),
        error_mm=None if spacing is None else np.linalg.norm(difference * spacing, axis=1),
    )
