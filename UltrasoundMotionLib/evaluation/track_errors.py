"""Errors of tracks against ground truth in one sequence, the input of all measures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

_TAPVID_SIZE = 256
"""TAP-Vid (Doersch et al., 2022, Sec. 4.1) states its thresholds for frames resized to 256 x 256."""


@dataclass(frozen=True)
class TrackErrors:
    """Errors of N points in T frames of one sequence; NaN on frames without annotation and on the query frame.

    Attributes:
        name: name of the sequence.
        labels: labels of the N points, in the order of the truth.
        query_frame: the frame of the query points, which never counts.
        error_px: (T, N) Euclidean distance of track and truth in pixels (LSDM paper, Eq. 18).
        no_tracking_px: (T, N) distance of the truth from the point's position on the query frame (NoTE, Eq. 19).
        error_mm, no_tracking_mm: the same in mm, or None if the spacing is unknown.
        visible: (T, N) visibility in the truth. Only visible points count in errors and accuracies.
        predicted_visible: (T, N) visibility according to the tracker.
        frames_per_second: speed of the tracker on this sequence, or None if it was not measured.
    """

    name: str
    labels: tuple[str, ...]
    query_frame: int
    error_px: np.ndarray
    no_tracking_px: np.ndarray
    error_mm: np.ndarray | None
    no_tracking_mm: np.ndarray | None
    visible: np.ndarray
    predicted_visible: np.ndarray
    frames_per_second: float | None = None

    @property
    def annotated(self) -> np.ndarray:
        """Mask (T, N), True where the truth has a position, except on the query frame."""
        return np.isfinite(self.error_px)

    @property
    def error(self) -> np.ndarray:
        """`error_mm`, or `error_px` if the spacing is unknown."""
        return self.error_px if self.error_mm is None else self.error_mm

    @property
    def no_tracking(self) -> np.ndarray:
        """`no_tracking_mm`, or `no_tracking_px` if the spacing is unknown."""
        return self.no_tracking_px if self.no_tracking_mm is None else self.no_tracking_mm

    @property
    def counted(self) -> np.ndarray:
        """Mask (T, N), True where the point is annotated and visible, so that its error counts."""
        return self.annotated & self.visible


def compare_tracks(
    tracks: PointTracks,
    truth: PointTracks,
    *,
    name: str = "sequence",
    spacing_mm: tuple[float, float] | None = None,
    rescale_from: tuple[int, int] | None = None,
    frames_per_second: float | None = None,
) -> TrackErrors:
    """Matches tracks with the truth by label and frame, and computes their distances.

    The truth may be sparse: NaN positions are frames without annotation. It may have fewer frames and points than the
    tracks.

    Args:
        tracks: the result of a tracker.
        truth: the annotations.
        name: name of the sequence, for tables and messages.
        spacing_mm: (x, y) pixel size; by default the truth's, else the tracks'. Without any, there are no errors in mm.
        rescale_from: (W, H) of the images; pixel errors are then those of images resized to 256 x 256, x and y by
            separate factors, as in TAP-Vid. By default in the image's own pixels. Errors in mm are not affected.
        frames_per_second: speed of the tracker, if it was measured.

    Raises:
        InputError: a label of the truth that was not tracked, a frame of the truth that was not tracked, contradictory
            spacings, a truth without an annotation besides the query frame.
    """
    columns = _match_labels(tracks, truth, name)
    frame_count = len(tracks.positions_px)
    truth_positions, truth_visible = _fit_frames(truth, frame_count, name)
    predicted = tracks.positions_px[:, columns]
    annotated = np.all(np.isfinite(truth_positions), axis=2)
    annotated[tracks.query_frame] = False
    if not annotated.any():
        raise InputError(f"{name}: the truth has no position besides the query frame {tracks.query_frame}")
    missing = np.argwhere(annotated & ~np.all(np.isfinite(predicted), axis=2))
    if len(missing):
        frame, point = missing[0]
        raise InputError(
            f"{name}: frame {frame} of point {truth.labels[point]} has a truth but was not tracked "
            f"({len(missing)} such)"
        )
    start = predicted[tracks.query_frame]
    if not np.all(np.isfinite(start)):
        label = truth.labels[int(np.argmin(np.all(np.isfinite(start), axis=1)))]
        raise InputError(f"{name}: point {label} has no position on the query frame {tracks.query_frame}")

    spacing = _known_spacing(tracks, truth, spacing_mm, name)
    pixel_scale = np.ones(2) if rescale_from is None else _TAPVID_SIZE / np.asarray(rescale_from, dtype=np.float64)
    difference = np.where(annotated[..., None], predicted - truth_positions, np.nan)
    motion = np.where(annotated[..., None], start - truth_positions, np.nan)
    return TrackErrors(
        name=name,
        labels=truth.labels,
        query_frame=tracks.query_frame,
        error_px=np.linalg.norm(difference * pixel_scale, axis=2),
        no_tracking_px=np.linalg.norm(motion * pixel_scale, axis=2),
        error_mm=None if spacing is None else np.linalg.norm(difference * spacing, axis=2),
        no_tracking_mm=None if spacing is None else np.linalg.norm(motion * spacing, axis=2),
        visible=truth_visible,
        predicted_visible=tracks.visible[:, columns],
        frames_per_second=frames_per_second,
    )


def _match_labels(tracks: PointTracks, truth: PointTracks, name: str) -> list[int]:
    columns = {label: index for index, label in enumerate(tracks.labels)}
    absent = [label for label in truth.labels if label not in columns]
    if absent:
        raise InputError(
            f"{name}: the tracks have no point named {', '.join(absent)}; they have {', '.join(tracks.labels)}"
        )
    return [columns[label] for label in truth.labels]


def _fit_frames(truth: PointTracks, frame_count: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the truth's positions (T, N, 2) and visibility (T, N) on the frames of the tracks."""
    beyond = np.argwhere(np.any(np.isfinite(truth.positions_px[frame_count:]), axis=2))
    if len(beyond):
        frame, point = beyond[0]
        label = truth.labels[point]
        raise InputError(
            f"{name}: the truth of point {label} has frame {frame_count + frame}, "
            f"the tracks end at frame {frame_count - 1}"
        )
    kept = truth.positions_px[:frame_count]
    positions = np.full((frame_count, *kept.shape[1:]), np.nan)
    positions[: len(kept)] = kept
    visible = np.zeros(positions.shape[:2], dtype=bool)
    visible[: len(kept)] = truth.visible[:frame_count]
    return positions, visible


def _known_spacing(
    tracks: PointTracks, truth: PointTracks, spacing_mm: tuple[float, float] | None, name: str
) -> np.ndarray | None:
    if spacing_mm is not None:
        return np.asarray(spacing_mm, dtype=np.float64)
    if (
        truth.spacing_mm is not None
        and tracks.spacing_mm is not None
        and not np.allclose(truth.spacing_mm, tracks.spacing_mm, rtol=1e-4)
    ):
        raise InputError(
            f"{name}: the truth's spacing {truth.spacing_mm} mm is not the tracks' {tracks.spacing_mm} mm; "
            "state the right one"
        )
    spacing = truth.spacing_mm if truth.spacing_mm is not None else tracks.spacing_mm
    return None if spacing is None else np.asarray(spacing, dtype=np.float64)
