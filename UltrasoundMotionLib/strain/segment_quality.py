"""Tracking quality of each segment, and the rejection of badly tracked ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle
from UltrasoundMotionLib.strain.curve_geometry import COLLAPSE_SHARE
from UltrasoundMotionLib.strain.segment_shares import point_shares
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.strain_result import SegmentQuality
from UltrasoundMotionLib.strain.wall_tracks import WallTracks


def _neighbour_residual(displacement: np.ndarray, closed: bool = False) -> np.ndarray:
    """Returns displacements (..., N, 2) minus the mean of both neighbours'; the ends copy the value beside them."""
    if closed:
        return displacement - (np.roll(displacement, 1, axis=-2) + np.roll(displacement, -1, axis=-2)) / 2
    inner = displacement[..., 1:-1, :] - (displacement[..., :-2, :] + displacement[..., 2:, :]) / 2
    return np.concatenate([inner[..., :1, :], inner, inner[..., -1:, :]], axis=-2)


def assess_segments(
    wall: WallTracks,
    positions: np.ndarray,
    cycle: CardiacCycle,
    *,
    pieces: np.ndarray,
    shares: np.ndarray,
    names: tuple[str, ...],
    config: StrainConfig,
    maximum_gap: float,
    forward_backward_px: np.ndarray | None = None,
    closed: bool = False,
) -> tuple[SegmentQuality, ...]:
    """Assesses the quality of each segment over the measured cycle.

    Roughness is regional: independent errors of standard deviation s per coordinate make residuals against the two
    neighbours of variance 1.5 s^2, and an error of the segment's length of sqrt(2) s; it is given as that error
    relative to the segment's end-diastolic length.

    Args:
        positions: (T, N, 2) in mm or square pixels, gaps filled.
        pieces: (T, P) lengths of the pieces between them.
        shares: (P, S) fraction of each piece in each segment.
        maximum_gap: the longest gap that does not count as lost, in frames.
        forward_backward_px: (N,) error of each point, or None.

    Raises:
        InputError: names in the configuration that no segment has.
    """
    unknown = sorted((set(config.accept_segments) | set(config.reject_segments)) - set(names))
    if unknown:
        raise InputError(f"there is no segment {unknown[0]} in this view; there are {', '.join(names)}")
    frames = slice(cycle.first_frame, cycle.last_frame + 1)
    segment_lengths = pieces @ shares
    collapsed = np.any(pieces[frames] <= COLLAPSE_SHARE * pieces[cycle.reference_frame].mean(), axis=0)
    reaching = point_shares(shares, closed) > 1e-6  # points whose pieces reach into the segment
    lost = np.any(wall.gap_frames[frames] > maximum_gap, axis=0)
    residual = _neighbour_residual(positions[frames] - positions[cycle.reference_frame], closed)
    variance = np.mean(np.sum(residual**2, axis=2) / 2, axis=0) / 1.5
    qualities = []
    for segment, name in enumerate(names):
        points = reaching[:, segment]
        confidence = float(wall.confidence[frames][:, points].mean())
        lost_share = float(lost[points].mean())
        back = None if forward_backward_px is None else float(np.nanmedian(forward_backward_px[points]))
        reference_length = segment_lengths[cycle.reference_frame, segment]
        roughness = float(100.0 * np.sqrt(2.0 * variance[points].mean()) / reference_length)
        drift = (
            float(100.0 * (segment_lengths[cycle.last_frame, segment] / reference_length - 1.0))
            if cycle.complete
            else None
        )
        quality = SegmentQuality(name, confidence, lost_share, back, roughness, drift_percent=drift)
        fault = "two of its points collapse during the cycle" if np.any(collapsed & (shares[:, segment] > 0)) else ""
        qualities.append(_with_verdict(quality, fault or _fault(quality, config), config))
    return tuple(qualities)


def _with_verdict(quality: SegmentQuality, fault: str, config: StrainConfig) -> SegmentQuality:
    """Returns the quality with its verdict. The reader's choice overrules the measurements."""
    if quality.name in config.reject_segments:
        return replace(quality, accepted=False, reason="rejected by the reader")
    if fault and quality.name in config.accept_segments:
        return replace(quality, reason=f"accepted by the reader although {fault}")
    return replace(quality, accepted=not fault, reason=fault)


def _fault(quality: SegmentQuality, config: StrainConfig) -> str:
    """Returns why a segment is to be rejected; empty when it is not."""
    if quality.lost_share > config.maximum_lost_share:
        return f"{quality.lost_share:.0%} of its points were lost for longer than the gap limit"
    if quality.confidence < config.minimum_confidence:
        return f"its confidence is {quality.confidence:.2f}, below {config.minimum_confidence:g}"
    if not quality.roughness_percent <= config.maximum_roughness_percent:
        limit = config.maximum_roughness_percent
        return (
            f"its points move unlike their neighbours ({quality.roughness_percent:.1f} percent points, above {limit:g})"
        )
    if quality.drift_percent is not None and not abs(quality.drift_percent) <= config.maximum_drift_percent:
        return f"its strain is {quality.drift_percent:.1f} percent at the next end-diastole, where it should be 0"
    if (
        quality.forward_backward_px is not None
        and not quality.forward_backward_px <= config.maximum_forward_backward_px
    ):
        limit = config.maximum_forward_backward_px
        return f"its forward-backward error is {quality.forward_backward_px:.1f} px, above {limit:g}"
    return ""
