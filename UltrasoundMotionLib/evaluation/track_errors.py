"""Tracks against truth: the errors of one sequence, from which every measure is taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

TAPVID_SIZE = 256
"""TAP-Vid (Doersch et al., 2022, Sec. 4.1) states its thresholds for frames resized to 256 x 256."""


@dataclass(frozen=True)
class TrackErrors:
    """Errors of N points in T frames of one sequence. NaN in an error array: not annotated there, or the query frame.

    Attributes:
        name: of the sequence.
        labels: (N,) of the points, in the truth's order.
        query_frame: the frame on which the points were given; it never counts, because nothing was tracked there.
        error_px: (T, N) Euclidean distance of track and truth in pixels (LSDM paper, Eq. 18).
        no_tracking_px: (T, N) distance of the truth from the point's place on the query frame (NoTE, Eq. 19).
        error_mm, no_tracking_mm: the same in mm, or None when the spacing is unknown.
        visible: (T, N) the truth says that the point can be seen. Only visible points count in errors and accuracies.
        predicted_visible: (T, N) the tracker says so.
        frames_per_second: of the tracker on this sequence, or None when it was not measured.
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
        """(T, N) bool: the truth gives a position and the frame is not the query frame."""
        return np.isfinite(self.error_px)

    @property
    def counted(self) -> np.ndarray:
        """(T, N) bool: annotated and visible, so that the error counts."""
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
    """Matches tracks with truth by label and frame, and takes their distances.

    The truth may be sparse: NaN positions are frames without annotation. It may have fewer frames than the tracks, and
    fewer points.

    Args:
        spacing_mm: (x, y) pixel size; default the truth's, else the tracks'. Unknown in all three: no error in mm.
        rescale_from: (W, H) of the images. With it, pixel errors are those of images resized to 256 x 256, x and y each
            by its own factor, as TAP-Vid takes them. Without it, pixels are the image's own. Errors in mm are not
            touched.

    Raises:
        InputError: a label of the truth that was not tracked, a frame of the truth that the tracks do not have or did
            not reach, spacings that contradict each other, a truth without a single annotation besides the query frame.
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
            f"{name}: frame {frame} of point {truth.labels[point]} has a truth but was not tracked ({len(missing)} such)"
        )
    start = predicted[tracks.query_frame]
    if not np.all(np.isfinite(start)):
        label = truth.labels[int(np.argmin(np.all(np.isfinite(start), axis=1)))]
        raise InputError(f"{name}: point {label} has no position on the query frame {tracks.query_frame}")

    spacing = _known_spacing(tracks, truth, spacing_mm, name)
    pixel_scale = np.ones(2) if rescale_from is None else TAPVID_SIZE / np.asarray(rescale_from, dtype=np.float64)
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
    place = {label: index for index, label in enumerate(tracks.labels)}
    absent = [label for label in truth.labels if label not in place]
    if absent:
        raise InputError(
            f"{name}: the tracks have no point named {', '.join(absent)}; they have {', '.join(tracks.labels)}"
        )
    return [place[label] for label in truth.labels]


def _fit_frames(truth: PointTracks, frame_count: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Truth positions (T, N, 2) and visibility (T, N) over the tracks' frames."""
    beyond = np.argwhere(np.any(np.isfinite(truth.positions_px[frame_count:]), axis=2))
    if len(beyond):
        frame, point = beyond[0]
        label = truth.labels[point]
        raise InputError(
            f"{name}: the truth of point {label} has frame {frame_count + frame}, the tracks end at frame {frame_count - 1}"
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
            f"{name}: the truth's spacing {truth.spacing_mm} mm is not the tracks' {tracks.spacing_mm} mm; state the right one"
        )
    spacing = truth.spacing_mm if truth.spacing_mm is not None else tracks.spacing_mm
    return None if spacing is None else np.asarray(spacing, dtype=np.float64)
