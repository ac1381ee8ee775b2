"""The frame on which a track is least sure, for a user who looks through the doubtful ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


@dataclass(frozen=True)
class Doubt:
    """A point on a frame that a user should look at.

    Attributes:
        frame, label: where.
        confidence: of the tracker, from 0 to 1.
        visible: False where the tracker lost the point.
        disagreement_px: distance of the forward and the backward track; NaN where there is only one.
    """

    frame: int
    label: str
    confidence: float
    visible: bool
    disagreement_px: float


def most_doubtful(
    tracks: PointTracks,
    settled: np.ndarray,
    disagreement_px: np.ndarray | None = None,
    *,
    label: str | None = None,
    disagreement_scale_px: float = 4.0,
    doubtful_below: float = 0.9,
) -> Doubt | None:
    """Finds the point and frame of the lowest certainty among those that no user has settled.

    The certainty is the confidence times exp(-(d / s)^2 / 2), with d the distance of the forward and the backward track
    and s its scale, and half of that where the tracker lost the point.

    Args:
        settled: (T, N) bool, corrected, accepted or marked as lost.
        disagreement_px: (T, N), NaN where there is only one track; None: unknown everywhere.
        label: only this point; None: all.
        disagreement_scale_px: s; 4 pixels of an image whose longer side has 256 are the scale of the fusion.
        doubtful_below: a certainty from here on is no doubt.

    Returns:
        None where nothing is in doubt.

    Raises:
        InputError: an unknown label.
    """
    if label is not None and label not in tracks.labels:
        raise InputError(f"no point is called {label!r}; there are {', '.join(tracks.labels)}")
    reached = np.isfinite(tracks.positions_px).all(axis=2)
    apart = np.full(tracks.confidence.shape, np.nan) if disagreement_px is None else np.asarray(disagreement_px)
    agreement = np.where(np.isfinite(apart), np.exp(-0.5 * (np.nan_to_num(apart) / disagreement_scale_px) ** 2), 1.0)
    certainty = tracks.confidence * agreement * np.where(tracks.visible, 1.0, 0.5)
    certainty = np.where(reached & ~np.asarray(settled, dtype=bool), certainty, np.inf)
    if label is not None:
        certainty = np.where(np.array(tracks.labels) == label, certainty, np.inf)
    frame, point = np.unravel_index(int(np.argmin(certainty)), certainty.shape)
    if not certainty[frame, point] < doubtful_below:
        return None
    return Doubt(
        int(frame),
        tracks.labels[point],
        float(tracks.confidence[frame, point]),
        bool(tracks.visible[frame, point]),
        float(apart[frame, point]),
    )
