"""Points on pixels that were filled (graphics, colour flow): there is no tissue to see, so they are not visible."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from UltrasoundMotionLib.images.image_sequence import FilledFrameSource, ImageSequence
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


def hide_filled(sequence: ImageSequence, index: int, found: FrameTracks) -> FrameTracks:
    """Returns the points of a frame; those on filled pixels are not visible and have confidence 0."""
    hidden = on_filled(sequence, index, found.positions_px)
    if not hidden.any():
        return found
    return FrameTracks(
        found.positions_px, np.where(hidden, 0.0, found.confidence), np.asarray(found.visible, dtype=bool) & ~hidden
    )


def hide_filled_tracks(sequence: ImageSequence, tracks: PointTracks) -> PointTracks:
    """Returns tracks whose points on filled pixels are not visible and have confidence 0."""
    if not isinstance(sequence.frames, FilledFrameSource):
        return tracks
    hidden = np.stack([on_filled(sequence, index, positions) for index, positions in enumerate(tracks.positions_px)])
    return replace(
        tracks, confidence=np.where(hidden, 0.0, tracks.confidence), visible=np.asarray(tracks.visible) & ~hidden
    )


def on_filled(sequence: ImageSequence, index: int, positions_px: np.ndarray) -> np.ndarray:
    """Finds the points (N, 2) whose pixel of frame `index` was filled; (N,) bool, False outside the frame."""
    finite = np.all(np.isfinite(positions_px), axis=1)
    if not isinstance(sequence.frames, FilledFrameSource) or not finite.any():
        return np.zeros(len(positions_px), dtype=bool)
    filled = sequence.frames.filled(index)
    columns, rows = np.rint(np.where(finite[:, None], positions_px, -1)).astype(int).T
    inside = (rows >= 0) & (rows < filled.shape[0]) & (columns >= 0) & (columns < filled.shape[1])
    found = np.zeros(len(positions_px), dtype=bool)
    found[inside] = filled[rows[inside], columns[inside]]
    return found
