"""A tracked contour prepared for strain: in order, gaps filled, events found, cut into segments, quality assessed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle, CardiacEvents
from UltrasoundMotionLib.strain.curve_geometry import arc_length, chord_lengths
from UltrasoundMotionLib.strain.curve_smoothing import smooth_positions
from UltrasoundMotionLib.strain.ecg_trace import EcgTrace
from UltrasoundMotionLib.strain.find_events import find_contour_events, resolve_r_peaks
from UltrasoundMotionLib.strain.plausibility import check_closing, input_doubts, tracker_doubts
from UltrasoundMotionLib.strain.segment_model import SegmentModel
from UltrasoundMotionLib.strain.segment_quality import assess_segments
from UltrasoundMotionLib.strain.segment_shares import segment_of_points, segment_shares
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.strain_result import SegmentQuality
from UltrasoundMotionLib.strain.wall_tracks import WallTracks, wall_tracks
from UltrasoundMotionLib.tracking.point_tracks import PointTracks


@dataclass(frozen=True)
class MeasuredWall:
    """A contour with everything that its strain is computed from.

    Attributes:
        tracks, model, config, layer: the arguments of `measure_wall`.
        wall: the contour's tracks.
        positions: (T, N, 2) in mm, or in pixels where the spacing is unknown.
        events, cycles, cycle_index: events and cycles of the clip, and the index of the measured cycle.
        shares: (P, S) fraction of each of the contour's pieces in each segment.
        segment_of_point: (N,) index of the segment in which each point lies.
        quality: tracking quality of each segment.
    """

    tracks: PointTracks
    model: SegmentModel
    config: StrainConfig
    layer: str
    wall: WallTracks
    positions: np.ndarray
    events: CardiacEvents
    cycles: tuple[CardiacCycle, ...]
    cycle_index: int
    shares: np.ndarray
    segment_of_point: np.ndarray
    quality: tuple[SegmentQuality, ...]

    @property
    def cycle(self) -> CardiacCycle:
        """The measured cycle."""
        return self.cycles[self.cycle_index]

    @property
    def times_s(self) -> np.ndarray | None:
        """Frame times (T,), or None where unknown."""
        return None if self.tracks.times_s is None else np.asarray(self.tracks.times_s, dtype=np.float64)

    @cached_property
    def smooth_positions(self) -> np.ndarray | None:
        """`positions` smoothed as configured, or None when smoothing is off."""
        if not self.config.smoothing_wall_share and not self.config.smoothing_time_s:
            return None
        if self.times_s is None:
            places, time_width = np.arange(len(self.positions)), float(self.config.smoothing_time_s > 0)
        else:
            places, time_width = self.times_s, self.config.smoothing_time_s
        return smooth_positions(
            self.positions,
            self.cycle.reference_frame,
            wall_share=self.config.smoothing_wall_share,
            places=places,
            time_width=time_width,
            closed=self.model.closed,
        )

    @property
    def notes(self) -> list[str]:
        """Remarks for the reader of the result, one line each."""
        notes = list(self.wall.notes)
        if self.tracks.spacing_mm is None:
            notes.append("spacing unknown: strain takes pixels to be square, and lengths are not given")
        if self.times_s is None:
            notes.append("frame times unknown: no strain rate, no time to peak, no heart rate")
        if not self.cycle.whole_systole:
            notes.append(
                "the clip starts after end-diastole: strain refers to the end-diastole that follows, and systolic peaks"
                " are not known"
            )
        elif not self.cycle.complete:
            notes.append("the clip ends before the next end-diastole: drift is not known")
        notes += tracker_doubts(self.tracks.model)
        notes += input_doubts(self.positions, self.times_s, self.events, self.cycle, self.model.closed)
        return notes


def measure_wall(
    tracks: PointTracks,
    model: SegmentModel,
    *,
    events: CardiacEvents | None = None,
    config: StrainConfig | None = None,
    order: Sequence[str | int] | None = None,
    layer: str = "",
    apex_index: int | None = None,
    r_peaks_s: np.ndarray | None = None,
    ecg: EcgTrace | None = None,
    forward_backward_px: np.ndarray | None = None,
) -> MeasuredWall:
    """Prepares a tracked contour; arguments and errors as in `longitudinal_strain`."""
    config = config or StrainConfig()
    closed = model.closed
    wall = wall_tracks(tracks, order, closed=closed, orientation=config.orientation)
    positions = wall.positions_px * np.asarray(tracks.spacing_mm or (1.0, 1.0))
    check_closing(positions[tracks.query_frame], closed, model.view)
    if events is None:
        r_peaks = resolve_r_peaks(r_peaks_s, ecg)
        events = find_contour_events(positions, tracks.times_s, closed=closed, r_peaks_s=r_peaks)
    known = np.isfinite(positions).all(axis=(1, 2))
    cycles = events.cycles(
        len(positions), (int(np.argmax(known)), len(known) - 1 - int(np.argmax(known[::-1]))) if known.any() else None
    )
    cycle_index = _measured_cycle(cycles, config.cycle)
    cycle = cycles[cycle_index]
    frames = slice(cycle.first_frame, cycle.last_frame + 1)
    if not known[frames].all():
        frame = cycle.first_frame + int(np.argmin(known[frames]))
        raise InputError(
            f"tracks: frame {frame} was not tracked, but lies in the measured cycle"
            f" (frames {cycle.first_frame} to {cycle.last_frame})"
        )
    at_reference = positions[cycle.reference_frame]
    apex_arc = None
    if apex_index is not None:
        apex_arc = float(arc_length(at_reference)[_apex_in_contour(tracks, order, apex_index, wall)])
    pieces = chord_lengths(positions, closed)
    shares = segment_shares(pieces[cycle.reference_frame], len(model.names), apex_arc)
    quality = assess_segments(
        wall,
        positions,
        cycle,
        pieces=pieces,
        shares=shares,
        names=model.names,
        config=config,
        maximum_gap=_maximum_gap(tracks, config),
        forward_backward_px=_in_contour_order(tracks, forward_backward_px, wall),
        closed=closed,
    )
    return MeasuredWall(
        tracks,
        model,
        config,
        layer,
        wall,
        positions,
        events,
        cycles,
        cycle_index,
        shares,
        segment_of_points(shares, closed),
        quality,
    )


def _measured_cycle(cycles: tuple[CardiacCycle, ...], wanted: int | None) -> int:
    """Index of the wanted cycle; by default the first complete one, else one with a whole systole, else the first."""
    if wanted is None:
        return max(range(len(cycles)), key=lambda index: (cycles[index].complete, cycles[index].whole_systole, -index))
    if wanted >= len(cycles):
        raise InputError(f"cycle {wanted} does not exist; there are {len(cycles)} (0 to {len(cycles) - 1})")
    return wanted


def _maximum_gap(tracks: PointTracks, config: StrainConfig) -> float:
    """Returns the gap limit in frames."""
    if tracks.times_s is None:
        return config.maximum_gap_frames
    return config.maximum_gap_s / float(np.median(np.diff(tracks.times_s))) + 1e-6


def _in_contour_order(tracks: PointTracks, values: np.ndarray | None, wall: WallTracks) -> np.ndarray | None:
    if values is None:
        return None
    if np.shape(values) != (len(tracks.labels),):
        raise InputError(
            f"forward_backward_px must have one value for each of {len(tracks.labels)} points,"
            f" got shape {np.shape(values)}"
        )
    by_label = dict(zip(tracks.labels, np.asarray(values, dtype=np.float64), strict=True))
    return np.array([by_label[label] for label in wall.labels])


def _apex_in_contour(tracks: PointTracks, order: Sequence[str | int] | None, apex_index: int, wall: WallTracks) -> int:
    count = len(wall.labels)
    if not 0 < apex_index < count - 1:
        raise InputError(f"apex_index must lie between 1 and {count - 2}, got {apex_index}")
    entry = apex_index if order is None else order[apex_index]
    return wall.labels.index(entry if isinstance(entry, str) else tracks.labels[entry])
