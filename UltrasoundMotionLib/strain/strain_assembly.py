"""From the lengths of a wall's pieces to a strain result."""

from __future__ import annotations

from UltrasoundMotionLib.strain.measured_wall import MeasuredWall
from UltrasoundMotionLib.strain.strain_curves import Lengths, strain_curves
from UltrasoundMotionLib.strain.strain_measures import natural_percent, rate_per_s
from UltrasoundMotionLib.strain.strain_result import SmoothedStrain, StrainResult


def assembled_strain(wall: MeasuredWall, kind: str, lengths: Lengths, smooth_lengths: Lengths | None) -> StrainResult:
    """The result of one kind of strain, without its uncertainty.

    Args:
        lengths: the raw lengths of the wall's pieces.
        smooth_lengths: the same after smoothing, or None.
    """
    tracks, times, config = wall.tracks, wall.times_s, wall.config
    raw = strain_curves(lengths, wall)
    smoothed = None
    if smooth_lengths is not None:
        curves = strain_curves(smooth_lengths, wall)
        in_time = "1 frame" if times is None else f"{1000 * config.smoothing_time_s:g} ms"
        method = f"displacements by local parabolas, {config.smoothing_wall_share:.3g} of the contour along the wall, {in_time} in time"
        smoothed = SmoothedStrain(
            curves.global_percent,
            curves.segmental_percent,
            curves.point_percent,
            curves.measures,
            curves.segment_measures,
            method,
        )
    rejected = [segment for segment in wall.quality if not segment.accepted]
    notes = wall.notes
    if len(rejected) > config.maximum_rejected_segments:
        notes.append(
            f"no global strain: {len(rejected)} segments were rejected, more than {config.maximum_rejected_segments}"
        )
    elif rejected:
        notes.append(f"left out of global strain: {', '.join(segment.name for segment in rejected)}")
    natural = natural_percent(raw.global_percent)
    return StrainResult(
        view=wall.model.view,
        kind=kind,
        layer=wall.layer,
        segment_names=wall.model.names,
        segment_numbers=wall.model.numbers,
        times_s=times,
        spacing_mm=tracks.spacing_mm,
        events=wall.events,
        cycle=wall.cycle,
        cycle_index=wall.cycle_index,
        positions_px=wall.wall.positions_px,
        point_labels=wall.wall.labels,
        segment_of_point=wall.segment_of_point,
        global_percent=raw.global_percent,
        segmental_percent=raw.segmental_percent,
        point_percent=raw.point_percent,
        natural_global_percent=natural,
        natural_segmental_percent=natural_percent(raw.segmental_percent),
        strain_rate_per_s=None if times is None else rate_per_s(raw.global_percent, times),
        segmental_strain_rate_per_s=None if times is None else rate_per_s(raw.segmental_percent, times),
        natural_strain_rate_per_s=None if times is None else rate_per_s(natural, times),
        length_mm=None if tracks.spacing_mm is None else raw.length,
        drift=raw.drift,
        measures=raw.measures,
        segment_measures=raw.segment_measures,
        cycle_measures=raw.cycle_measures,
        quality=wall.quality,
        uncertainty=None,
        smoothed=smoothed,
        config=config,
        model=tracks.model,
        notes=tuple(notes),
    )
