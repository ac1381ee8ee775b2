"""A bar over the frames of a clip: how sure the tracks are, and what a user has done on which frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CONFIDENCE_STOPS = (
    (0.0, (0.70, 0.09, 0.17)),
    (0.3, (0.94, 0.54, 0.38)),
    (0.6, (0.97, 0.86, 0.55)),
    (0.8, (0.57, 0.77, 0.87)),
    (1.0, (0.13, 0.40, 0.67)),
)
"""Confidence and its colour (red, green, blue from 0 to 1): red to blue, which readers who do not tell red from green
tell apart too.
"""

UNKNOWN_COLOR = (0.55, 0.55, 0.55)
CORRECTED_COLOR = (1.0, 1.0, 1.0)
ACCEPTED_COLOR = (0.20, 0.80, 0.35)
LOST_COLOR = (0.05, 0.05, 0.05)
SHOWN_COLOR = (1.0, 0.84, 0.1)
_TRACK_COLOR = (0.30, 0.30, 0.30)
"""Of the strip of marks where there is none."""


@dataclass(frozen=True, eq=False)
class FrameStates:
    """The state of each frame, of one point or of all.

    Attributes:
        confidence: (T,) from 0 to 1; NaN where nothing is known.
        corrected, accepted, lost: (T,) bool, where a point was dragged, accepted as it was, marked as lost.
    """

    confidence: np.ndarray
    corrected: np.ndarray
    accepted: np.ndarray
    lost: np.ndarray

    @classmethod
    def of_points(
        cls,
        confidence: np.ndarray,
        corrected: np.ndarray,
        accepted: np.ndarray,
        lost: np.ndarray,
        *,
        point: int | None = None,
    ) -> FrameStates:
        """Combines (T, N) arrays: those of one point, or over all points the lowest confidence and any mark.

        A point that was marked as lost does not count in the confidence of that frame: the user has decided.
        """
        columns = slice(None) if point is None else slice(point, point + 1)
        values = np.where(lost[:, columns], np.nan, confidence[:, columns])
        known = np.isfinite(values)
        lowest = np.where(known, values, np.inf).min(axis=1, initial=np.inf)
        marks = [np.any(np.asarray(mark, dtype=bool)[:, columns], axis=1) for mark in (corrected, accepted, lost)]
        return cls(np.where(np.isfinite(lowest), lowest, np.nan), *map(np.asarray, marks))


def confidence_colors(confidence: np.ndarray) -> np.ndarray:
    """Returns the colours (T, 3) uint8 of confidences (T,); grey for NaN."""
    values = np.asarray(confidence, dtype=np.float64)
    stops, colors = [stop for stop, _ in CONFIDENCE_STOPS], np.array([color for _, color in CONFIDENCE_STOPS])
    mixed = np.stack([np.interp(np.nan_to_num(values), stops, channel) for channel in colors.T], axis=-1)
    return _bytes(np.where(np.isfinite(values)[..., None], mixed, UNKNOWN_COLOR))


def draw_frame_bar(states: FrameStates, size: tuple[int, int]) -> np.ndarray:
    """Draws the bar (H, W, 3) uint8: confidence above, marks in the lowest third.

    Where several frames share a column of pixels, the lowest confidence shows, and any mark.

    Args:
        size: (W, H) in pixels, at least 1 x 1.
    """
    width, height = size
    count = len(states.confidence)
    picture = np.empty((height, width, 3), dtype=np.uint8)
    first = np.arange(width) * count // width
    last = np.maximum(first + 1, (np.arange(width) + 1) * count // width)
    spans = np.stack((first, last), axis=1).tolist()
    lowest = np.array([_lowest(states.confidence[start:stop]) for start, stop in spans])
    picture[:] = confidence_colors(lowest)[None]
    strip = height - max(1, height // 3)
    picture[strip:] = _bytes(np.array(_TRACK_COLOR))
    for marks, color in (
        (states.accepted, ACCEPTED_COLOR),
        (states.corrected, CORRECTED_COLOR),
        (states.lost, LOST_COLOR),
    ):
        columns = np.array([bool(marks[start:stop].any()) for start, stop in spans])
        picture[strip:, columns] = _bytes(np.array(color))
    return picture


def with_shown_frame(picture: np.ndarray, frame: int, count: int) -> np.ndarray:
    """Returns a copy of a bar (H, W, 3) with a line at a frame of `count`."""
    marked, width = picture.copy(), picture.shape[1]
    if 0 <= frame < count:
        start, stop = columns_of(frame, count, width)
        middle, half = (start + stop - 1) // 2, 1 if width > 60 else 0
        marked[:, max(0, middle - half - 1) : middle + half + 2] = 0
        marked[:, max(0, middle - half) : middle + half + 1] = _bytes(np.array(SHOWN_COLOR))
    return marked


def columns_of(frame: int, count: int, width: int) -> tuple[int, int]:
    """Returns the columns [start, stop) of pixels in which a frame is drawn, at least one."""
    start = -(-frame * width // count) if count <= width else frame * width // count
    stop = -(-(frame + 1) * width // count) if count <= width else start + 1
    return start, max(stop, start + 1)


def frame_at(x: float, count: int, width: int) -> int:
    """Returns the frame drawn at column `x` of a bar of `width` columns; the nearest one outside."""
    return min(max(int(x * count // max(width, 1)), 0), count - 1)


def _lowest(confidence: np.ndarray) -> float:
    known = confidence[np.isfinite(confidence)]
    return float(known.min()) if len(known) else float("nan")


def _bytes(color: np.ndarray) -> np.ndarray:
    return np.rint(255 * np.asarray(color)).astype(np.uint8)
