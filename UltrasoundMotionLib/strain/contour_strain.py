"""From tracks along an open or closed contour to a strain result: the way that longitudinal and circumferential strain share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle, CardiacEvents
from UltrasoundMotionLib.strain.curve_geometry import arc_length, chord_lengths
from UltrasoundMotionLib.strain.curve_smoothing import smooth_positions
from UltrasoundMotionLib.strain.find_events import find_events
from UltrasoundMotionLib.strain.segment_model import SegmentModel
from UltrasoundMotionLib.strain.segment_quality import segment_quality
from UltrasoundMotionLib.strain.segment_shares import segment_shares
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.strain_curves import StrainCurves, measured_cycle, strain_curves
from UltrasoundMotionLib.strain.strain_measures import natural_percent, rate_per_s
from UltrasoundMotionLib.strain.strain_result import SmoothedStrain, StrainResult
from UltrasoundMotionLib.strain.strain_uncertainty import gls_uncertainty
from UltrasoundMotionLib.strain.wall_tracks import WallTracks, wall_tracks
from UltrasoundMotionLib.tracks.point_tracks import PointTracks


def contour_strain(
    tracks: PointTracks,
    model: SegmentModel,
    kind: str,
    *,
    events: CardiacEvents | None,
    config: StrainConfig,
    order: Sequence[str | int] | None = None,
    layer: str = "",
    apex_index: int | None = None,
    r_peaks_s: np.ndarray | None = None,
    forward_backward_px: np.ndarray | None = None,
    trackers: Mapping[str, float] | None = None,
) -> StrainResult:
    """Arguments and errors as `longitudinal_strain`."""
    closed = model.closed
    wall = wall_tracks(tracks, order, closed=closed, orientation=config.orientation)
    times = None if tracks.times_s is None else np.asarray(tracks.times_s, dtype=np.float64)
    positions = wall.positions_px * np.asarray(tracks.spacing_mm or (1.0, 1.0))
    if events is None:
        events = find_events(positions, times, closed=closed, r_peaks_s=r_peaks_s)
    frame_count = len(positions)
    cycles = events.cycles(frame_count)
    cycle_index, cycle = measured_cycle(cycles, config.cycle)
    reference = cycle.reference_frame
    frames = slice(cycle.first_frame, cycle.last_frame + 1)
    if not np.isfinite(positions[frames]).all():
        frame = cycle.first_frame + int(np.argmin(np.isfinite(positions[frames]).all(axis=(1, 2))))
        raise InputError(f"tracks: no point is known on frame {frame}, within the measured cycle ({cycle.first_frame} to {cycle.last_frame})")

    pieces = chord_lengths(positions, closed)
    apex_arc = None
    if apex_index is not None:
        apex_arc = float(arc_length(positions[reference])[_apex_in_order(tracks, order, apex_index, wall)])
    shares = segment_shares(pieces[reference], len(model.names), apex_arc)
    segment_of_point = _segment_of_point(shares, closed)
    lost = _lost_points(wall, frames, times, config)
    if forward_backward_px is not None:
        forward_backward_px = _in_contour_order(tracks, np.asarray(forward_backward_px, dtype=np.float64), wall)
    quality = segment_quality(
        wall,
        positions,
        frames,
        reference,
        lost,
        segment_of_point,
        pieces[reference] @ shares,
        model.names,
        config,
        forward_backward_px,
        closed,
    )
    accepted = np.array([segment.accepted for segment in quality])
    notes = [*wall.notes, *_notes(tracks, cycle, accepted, config)]

    def curves_of(lengths: np.ndarray) -> StrainCurves:
        return strain_curves(lengths, shares, accepted, cycles, cycle_index, times, model, config, closed=closed)

    raw = curves_of(pieces)
    smooth_wall = smooth_positions(
        positions,
        reference,
        arc_length(positions[reference]),
        config.smoothing_wall_share * float(pieces[reference].sum()),
        np.arange(frame_count) if times is None else times,
        (1.0 if times is None else config.smoothing_time_s) if config.smoothing_time_s > 0 else 0.0,
        float(pieces[reference].sum()) if closed else None,
    )
    smoothed = None
    if config.smoothing_wall_share > 0 or config.smoothing_time_s > 0:
        curves = curves_of(chord_lengths(smooth_wall, closed))
        in_time = "1 frame" if times is None else f"{1000 * config.smoothing_time_s:g} ms"
        method = f"displacements by local parabolas, {config.smoothing_wall_share:.3g} of the contour along the wall, {in_time} in time"
        smoothed = SmoothedStrain(
            curves.global_percent, curves.segmental_percent, curves.point_percent, curves.measures, curves.segment_measures, method
        )
    uncertainty = None
    gls = raw.measures.gls_percent
    if gls is not None and config.bootstrap_replicates > 0:
        weights = shares @ accepted.astype(np.float64)
        uncertainty = gls_uncertainty(
            positions,
            smooth_wall,
            weights,
            cycle,
            gls,
            raw.measures.drift_percent,
            replicates=config.bootstrap_replicates,
            seed=config.seed,
            closed=closed,
            trackers=trackers,
        )
    return StrainResult(
        view=model.view,
        kind=kind,
        layer=layer,
        segment_names=model.names,
        segment_numbers=model.numbers,
        times_s=times,
        spacing_mm=tracks.spacing_mm,
        events=events,
        cycle=cycle,
        cycle_index=cycle_index,
        positions_px=wall.positions_px,
        point_labels=wall.labels,
        segment_of_point=segment_of_point,
        global_percent=raw.global_percent,
        segmental_percent=raw.segmental_percent,
        point_percent=raw.point_percent,
        natural_global_percent=natural_percent(raw.global_percent),
        natural_segmental_percent=natural_percent(raw.segmental_percent),
        strain_rate_per_s=None if times is None else rate_per_s(raw.global_percent, times),
        segmental_strain_rate_per_s=None if times is None else rate_per_s(raw.segmental_percent, times),
        natural_strain_rate_per_s=None if times is None else rate_per_s(natural_percent(raw.global_percent), times),
        length_mm=None if tracks.spacing_mm is None else raw.length,
        drift=raw.drift,
        measures=raw.measures,
        segment_measures=raw.segment_measures,
        cycle_measures=raw.cycle_measures,
        quality=quality,
        uncertainty=uncertainty,
        smoothed=smoothed,
        config=config,
        model=tracks.model,
        notes=tuple(notes),
    )


def _segment_of_point(shares: np.ndarray, closed: bool) -> np.ndarray:
    """(N,) the segment in which most of the two pieces that meet at each point lies."""
    before, after = (np.roll(shares, 1, axis=0), shares) if closed else (np.concatenate([shares[:1], shares]), np.concatenate([shares, shares[-1:]]))
    return np.argmax(before + after, axis=1)


def _lost_points(wall: WallTracks, frames: slice, times: np.ndarray | None, config: StrainConfig) -> np.ndarray:
    """(N,) bool: points with a gap in the measured cycle that is longer than the limit."""
    limit = config.maximum_gap_frames if times is None else config.maximum_gap_s / float(np.median(np.diff(times)))
    return np.any(wall.gap_frames[frames] > limit + 1e-6, axis=0)


def _in_contour_order(tracks: PointTracks, values: np.ndarray, wall: WallTracks) -> np.ndarray:
    if values.shape != (len(tracks.labels),):
        raise InputError(f"forward_backward_px must have one value for each of {len(tracks.labels)} points, got shape {values.shape}")
    by_label = dict(zip(tracks.labels, values, strict=True))
    return np.array([by_label[label] for label in wall.labels])


def _apex_in_order(tracks: PointTracks, order: Sequence[str | int] | None, apex_index: int, wall: WallTracks) -> int:
    count = len(wall.labels)
    if not 0 < apex_index < count - 1:
        raise InputError(f"apex_index must lie between 1 and {count - 2}, got {apex_index}")
    entry = apex_index if order is None else order[apex_index]
    return wall.labels.index(entry if isinstance(entry, str) else tracks.labels[entry])


def _notes(tracks: PointTracks, cycle: CardiacCycle, accepted: np.ndarray, config: StrainConfig) -> list[str]:
    notes = []
    if tracks.spacing_mm is None:
        notes.append("spacing unknown: strain takes pixels to be square, and lengths are not given")
    if tracks.times_s is None:
        notes.append("frame times unknown: no strain rate, no time to peak, no heart rate")
    if not cycle.whole_systole:
        notes.append("the clip starts after end-diastole: strain refers to the end-diastole that follows, and systolic peaks are not known")
    elif not cycle.complete:
        notes.append("the clip ends before the next end-diastole: drift is not known")
    rejected = int(np.count_nonzero(~accepted))
    if rejected > config.maximum_rejected_segments:
        notes.append(f"no global strain: {rejected} segments were rejected, more than {config.maximum_rejected_segments}")
    elif rejected:
        notes.append(f"{rejected} rejected segments are left out of global strain")
    return notes
