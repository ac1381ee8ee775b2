"""The result of every tracker: where each point is in each frame, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.arguments import as_array, as_numbers, as_texts, as_whole
from UltrasoundMotionLib.errors import InputError


@dataclass(frozen=True)
class PointTracks:
    """Points followed through a sequence of T frames.

    Attributes:
        positions_px: (T, N, 2) float64, (x, y) in pixels, origin at the centre of the first pixel.
            NaN where the frame was never reached (a cancelled run). A point that is not visible keeps its best guess.
        confidence: (T, N) in [0, 1]; 1 on the query frame, 0 where never reached.
        visible: (T, N) bool; False where the tracker says that the point cannot be seen or trusted there.
        labels: (N,) unique names.
        query_frame: the frame on which the points were given.
        times_s: (T,) frame times, or None when unknown.
        spacing_mm: (x, y) pixel size, or None when unknown.
        model: name of the tracker.
        notes: for the user, one line each: what the call did beyond what was asked.
    """

    positions_px: np.ndarray
    confidence: np.ndarray
    visible: np.ndarray
    labels: tuple[str, ...]
    query_frame: int
    times_s: np.ndarray | None = None
    spacing_mm: tuple[float, float] | None = None
    model: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        positions = as_numbers(self.positions_px, "positions_px").copy()
        confidence = as_numbers(self.confidence, "confidence").copy()
        visible = as_array(self.visible, "visible").astype(bool)
        labels, query_frame = as_texts(self.labels, "labels"), as_whole(self.query_frame, "query_frame")
        if positions.ndim != 3 or positions.shape[2] != 2:
            raise InputError(f"positions must be (T, N, 2), got {positions.shape}")
        frame_count, point_count = positions.shape[:2]
        if confidence.shape != (frame_count, point_count) or visible.shape != (frame_count, point_count):
            raise InputError(
                f"positions {positions.shape}, confidence {confidence.shape} and visible "
                f"{visible.shape} do not fit each other"
            )
        if len(labels) != point_count or len(set(labels)) != point_count:
            raise InputError(f"{point_count} points need {point_count} different labels, got {list(labels)}")
        if not 0 <= query_frame < frame_count:
            raise InputError(
                f"query frame {query_frame} does not exist; there are {frame_count} frames (0 to {frame_count - 1})"
            )
        if np.any((confidence < 0) | (confidence > 1)):
            raise InputError("confidence must lie between 0 and 1")
        if self.times_s is not None and as_numbers(self.times_s, "times_s").shape != (frame_count,):
            raise InputError(f"{frame_count} frames but frame times of shape {np.shape(self.times_s)}")
        for name, value in (("positions_px", positions), ("confidence", confidence), ("visible", visible)):
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "query_frame", query_frame)

    @property
    def reached(self) -> np.ndarray:
        """(T,) bool: the frames that were tracked (all of them unless the run was cancelled)."""
        return np.all(np.isfinite(self.positions_px), axis=(1, 2))

    @property
    def displacement_px(self) -> np.ndarray:
        """(T, N, 2) displacement from the query frame, in pixels."""
        return self.positions_px - self.positions_px[self.query_frame]
