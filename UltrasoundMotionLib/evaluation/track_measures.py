"""Tracking measures of the papers, of one sequence or of several pooled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.track_errors import TrackErrors

_THRESHOLDS_PX = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Thresholds of the position accuracy (TAP-Vid; the impartial-motion paper, Sec. 4.2)."""

LOST_PX = 8.0
"""A point with all errors in the last tenth of the sequence above this is lost; half of TAP-Vid's largest threshold."""


@dataclass(frozen=True)
class Distances:
    """Statistics of distances as CLUST reports them.

    Mean, population standard deviation, 95th percentile (linear interpolation), minimum and maximum.
    """

    mean: float
    std: float
    percentile_95: float
    min: float
    max: float
    unit: str

    @classmethod
    def of(cls, values: np.ndarray, unit: str) -> Distances:
        """Computes the statistics of an array."""
        return cls(
            float(values.mean()),
            float(values.std()),
            float(np.percentile(values, 95)),
            float(values.min()),
            float(values.max()),
            unit,
        )


@dataclass(frozen=True)
class TrackMeasures:
    """Measures of one sequence, or of several pooled.

    Only annotated, visible points count, and never on the query frame.

    Attributes:
        name: name of the sequence or of the pool.
        point_count: points with at least one annotation that counts.
        annotation_count: positions compared.
        position_accuracy: fraction of positions whose error is (strictly) less than 1, 2, 4, 8, 16 px (TAP-Vid's
            delta^x).
        delta_avg: mean of `position_accuracy`.
        median_trajectory_error_px: each point's median error over its frames, averaged over points (MTE of PIPs++,
            Zheng et al. 2023, used by the impartial-motion paper). PIPs++' own script also counts the query frame as an
            error of zero; this does not.
        median_error_px: median error over all positions.
        tracking_error: error over all positions, in mm, or in px if the spacing is unknown (TE of the LSDM paper,
            Eq. 18).
        no_tracking_error: error if every point had stayed at its position on the query frame (NoTE, Eq. 19).
        lost_count: number of lost points (`points_lost`).
        occlusion_accuracy: fraction of annotations on which tracker and truth agree on the visibility of the point
            (TAP-Vid); None if the truth has no annotated occluded point.
        average_jaccard: mean over the thresholds of TP / (truth visible + FP), TAP-Vid's AJ; None as above.
        frames_per_second: frames per second over all sequences; None if it was not measured.
    """

    name: str
    point_count: int
    annotation_count: int
    position_accuracy: tuple[float, ...]
    delta_avg: float
    median_trajectory_error_px: float
    median_error_px: float
    tracking_error: Distances
    no_tracking_error: Distances
    lost_count: int
    occlusion_accuracy: float | None
    average_jaccard: float | None
    frames_per_second: float | None


def points_lost(errors: TrackErrors, threshold_px: float = LOST_PX) -> np.ndarray:
    """Returns True for points with all counted errors in the last tenth of the frames above the threshold; (N,) bool.

    A point without a counted position there is judged by its last one; a point without any is not lost.
    """
    frame_count = len(errors.error_px)
    last_tenth = frame_count - math.ceil(frame_count / 10)
    lost = np.zeros(len(errors.labels), dtype=bool)
    for point, counted in enumerate(errors.counted.T):
        frames = np.flatnonzero(counted)
        if len(frames):
            judged = frames[frames >= last_tenth] if frames[-1] >= last_tenth else frames[-1:]
            lost[point] = bool(np.all(errors.error_px[judged, point] > threshold_px))
    return lost


def measure_tracks(
    sequences: TrackErrors | Sequence[TrackErrors],
    *,
    name: str | None = None,
    lost_px: float = LOST_PX,
) -> TrackMeasures:
    """Computes the measures over all positions of one sequence, or of several pooled.

    Each annotation has the same weight, as in CLUST.

    Raises:
        InputError: no sequence, no visible annotated position, or a spacing for some sequences only.
    """
    several = [sequences] if isinstance(sequences, TrackErrors) else list(sequences)
    if not several or not any(errors.counted.any() for errors in several):
        raise InputError(f"{name or 'tracks'}: no visible annotated position to compare with")
    if len({errors.error_mm is None for errors in several}) > 1:
        raise InputError(
            f"{name or 'tracks'}: some sequences have a spacing in mm and some have none; "
            "state --spacing-mm or compare them apart"
        )

    unit = "px" if several[0].error_mm is None else "mm"
    error_px = np.concatenate([errors.error_px[errors.counted] for errors in several])
    tracking = np.concatenate([errors.error[errors.counted] for errors in several])
    no_tracking = np.concatenate([errors.no_tracking[errors.counted] for errors in several])
    medians = [
        float(np.median(error[counted]))
        for errors in several
        for error, counted in zip(errors.error_px.T, errors.counted.T, strict=True)
        if counted.any()
    ]
    accuracy = tuple(float(np.mean(error_px < threshold)) for threshold in _THRESHOLDS_PX)
    occlusion_accuracy, average_jaccard = _visibility_measures(several)
    return TrackMeasures(
        name=name or (several[0].name if len(several) == 1 else f"{len(several)} sequences pooled"),
        point_count=len(medians),
        annotation_count=len(error_px),
        position_accuracy=accuracy,
        delta_avg=float(np.mean(accuracy)),
        median_trajectory_error_px=float(np.mean(medians)),
        median_error_px=float(np.median(error_px)),
        tracking_error=Distances.of(tracking, unit),
        no_tracking_error=Distances.of(no_tracking, unit),
        lost_count=int(sum(points_lost(errors, lost_px).sum() for errors in several)),
        occlusion_accuracy=occlusion_accuracy,
        average_jaccard=average_jaccard,
        frames_per_second=_pooled_rate(several),
    )


def _visibility_measures(several: Sequence[TrackErrors]) -> tuple[float | None, float | None]:
    """Returns TAP-Vid's occlusion accuracy and average Jaccard, or None if the truth has no occluded point."""
    if not any(np.any(errors.annotated & ~errors.visible) for errors in several):
        return None, None
    annotated = [errors.annotated for errors in several]
    truth = np.concatenate([errors.visible[where] for errors, where in zip(several, annotated, strict=True)])
    predicted = np.concatenate(
        [errors.predicted_visible[where] for errors, where in zip(several, annotated, strict=True)]
    )
    error = np.concatenate([errors.error_px[where] for errors, where in zip(several, annotated, strict=True)])
    jaccard = []
    for threshold in _THRESHOLDS_PX:
        correct = truth & (error < threshold)
        true_positives = np.count_nonzero(correct & predicted)
        false_positives = np.count_nonzero(predicted & ~correct)
        jaccard.append(true_positives / (np.count_nonzero(truth) + false_positives))
    return float(np.mean(truth == predicted)), float(np.mean(jaccard))


def _pooled_rate(several: Sequence[TrackErrors]) -> float | None:
    frames, seconds = 0, 0.0
    for errors in several:
        if errors.frames_per_second is None:
            return None
        frames += len(errors.error_px)
        seconds += len(errors.error_px) / errors.frames_per_second
    return float(frames / seconds)


def flat_measures(measures: TrackMeasures) -> dict[str, float | int | None]:
    """Returns every number by a flat name (`accuracy_1px`, `tracking_error_mean` ...), for tables and JSON."""
    flat: dict[str, float | int | None] = {}
    for item in fields(measures):
        value = getattr(measures, item.name)
        if item.name == "position_accuracy":
            flat |= {f"accuracy_{threshold:g}px": one for threshold, one in zip(_THRESHOLDS_PX, value, strict=True)}
        elif isinstance(value, Distances):
            flat |= {
                f"{item.name}_{part.name}": getattr(value, part.name) for part in fields(value) if part.name != "unit"
            }
        elif item.name != "name":
            flat[item.name] = value
    return flat
