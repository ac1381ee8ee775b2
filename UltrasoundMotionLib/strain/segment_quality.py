"""How well each segment was tracked, and which are rejected."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.strain_result import SegmentQuality
from UltrasoundMotionLib.strain.wall_tracks import WallTracks


def neighbour_residual(displacement: np.ndarray, closed: bool = False) -> np.ndarray:
    """(..., N, 2) displacement of each point minus the mean of its two neighbours; at the ends of an open contour, that of the point beside it."""
    if closed:
        return displacement - (np.roll(displacement, 1, axis=-2) + np.roll(displacement, -1, axis=-2)) / 2
    inner = displacement[..., 1:-1, :] - (displacement[..., :-2, :] + displacement[..., 2:, :]) / 2
    return np.concatenate([inner[..., :1, :], inner, inner[..., -1:, :]], axis=-2)


def segment_quality(
    wall: WallTracks,
    positions: np.ndarray,
    cycle: CardiacCycle,
    *,
    segment_of_point: np.ndarray,
    segment_lengths: np.ndarray,
    names: tuple[str, ...],
    config: StrainConfig,
    maximum_gap: float,
    forward_backward_px: np.ndarray | None = None,
    closed: bool = False,
) -> tuple[SegmentQuality, ...]:
    """The quality of each segment over the measured cycle.

    Roughness is regional: independent errors of standard deviation s per coordinate make residuals against the two neighbours of variance 1.5 s^2,
    and an error of the segment's length of sqrt(2) s; it is given as that error relative to the segment's end-diastolic length.

    Args:
        positions: (T, N, 2) in mm or square pixels, gaps filled.
        segment_of_point: (N,).
        segment_lengths: (S,) at end-diastole, in the units of `positions`.
        maximum_gap: in frames.
        forward_backward_px: (N,) error of each point, or None.

    Raises:
        InputError: names in the configuration that no segment has.
    """
    unknown = sorted((set(config.accept_segments) | set(config.reject_segments)) - set(names))
    if unknown:
        raise InputError(f"there is no segment {unknown[0]} in this view; there are {', '.join(names)}")
    frames = slice(cycle.first_frame, cycle.last_frame + 1)
    lost = np.any(wall.gap_frames[frames] > maximum_gap, axis=0)
    residual = neighbour_residual(positions[frames] - positions[cycle.reference_frame], closed)
    variance = np.mean(np.sum(residual**2, axis=2) / 2, axis=0) / 1.5
    qualities = []
    for segment, name in enumerate(names):
        points = segment_of_point == segment
        confidence = float(wall.confidence[frames][:, points].mean())
        lost_share = float(lost[points].mean())
        back = None if forward_backward_px is None else float(np.nanmedian(forward_backward_px[points]))
        roughness = float(100.0 * np.sqrt(2.0 * variance[points].mean()) / segment_lengths[segment])
        reason = _reason(confidence, lost_share, back, roughness, config)
        accepted = not reason
        if name in config.accept_segments and reason:
            accepted, reason = True, f"accepted by the reader although {reason}"
        elif name in config.reject_segments:
            accepted, reason = False, "rejected by the reader"
        qualities.append(SegmentQuality(name, confidence, lost_share, back, roughness, accepted, reason))
    return tuple(qualities)


def _reason(confidence: float, lost_share: float, back: float | None, roughness: float, config: StrainConfig) -> str:
    if lost_share > config.maximum_lost_share:
        return f"{lost_share:.0%} of its points were lost for longer than the gap limit"
    if confidence < config.minimum_confidence:
        return f"its confidence is {confidence:.2f}, below {config.minimum_confidence:g}"
    if not roughness <= config.maximum_roughness_percent:
        return f"its points move unlike their neighbours ({roughness:.1f} percent points, above {config.maximum_roughness_percent:g})"
    if back is not None and not back <= config.maximum_forward_backward_px:
        return f"its forward-backward error is {back:.1f} px, above {config.maximum_forward_backward_px:g}"
    return ""
