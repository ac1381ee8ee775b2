"""Detection of end-diastole and end-systole from an ECG, or from the contour's length and area."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.cardiac_events import CardiacEvents, heart_rate
from UltrasoundMotionLib.strain.curve_geometry import chord_lengths, signed_area
from UltrasoundMotionLib.strain.curve_smoothing import local_quadratic
from UltrasoundMotionLib.strain.ecg_trace import EcgTrace
from UltrasoundMotionLib.strain.peaks import find_peaks, peak_prominences
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.strain.wall_tracks import wall_tracks
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

_MINIMUM_CYCLE_S = 0.3
"""Shortest cycle: 200 beats per minute."""
_MINIMUM_SWING = 0.01
"""Relative change of size below which there is no beat. The swing is the difference of largest and smallest size."""
_PROMINENCE_SHARE = 0.4
"""Fraction of the swing that a minimum must stand out; smaller ones are the atrial kick or noise."""
_CUT_SHARE = 0.15
"""Fraction of the swing that must be visible of a systole that the clip's start or end cuts off."""
_EDGE_SHARE = 0.05
"""A clip starts or ends with end-diastole when its size there is this fraction of the swing below the largest."""
_SMOOTHING_S = 0.015
"""Width of the smoothing of the size over time, for finding events only."""
_LATEST_SYSTOLE = 0.7
"""End-systole lies in this first fraction of an R-R interval."""


def find_events(
    tracks: PointTracks,
    *,
    view: str = "A4C",
    order: Sequence[str | int] | None = None,
    r_peaks_s: np.ndarray | None = None,
    ecg: EcgTrace | None = None,
) -> CardiacEvents:
    """Finds the end-diastoles and end-systoles of a tracked contour.

    Without an ECG they come from the contour's size: end-systole is where it is smallest, end-diastole where it is
    largest between two end-systoles (surrogates of valve closure: Voigt et al. 2015; Mada et al. 2015, "How to define
    end-diastole and end-systole?"). With an ECG its R peaks are the end-diastoles, and end-systole is where the size is
    smallest in the first 70 % of the R-R interval.

    Args:
        tracks, view, order: as in `longitudinal_strain`; of `view` only open or closed matters here.
        r_peaks_s: times of the ECG's R peaks on the clip's time axis.
        ecg: the ECG itself, where the R peaks are not known.

    Raises:
        InputError: fewer than 3 tracked frames; no beat; R peaks without frame times or outside of the clip;
            both `r_peaks_s` and `ecg`.
    """
    closed = segment_model(view).closed
    positions = wall_tracks(tracks, order, closed=closed).positions_px * np.asarray(tracks.spacing_mm or (1.0, 1.0))
    return find_contour_events(positions, tracks.times_s, closed=closed, r_peaks_s=resolve_r_peaks(r_peaks_s, ecg))


def resolve_r_peaks(r_peaks_s: np.ndarray | None, ecg: EcgTrace | None) -> np.ndarray | None:
    """Returns the given R peaks, or those of the given ECG, or None.

    Raises:
        InputError: both are given; the ECG has no R peak.
    """
    if ecg is None:
        return None if r_peaks_s is None else np.asarray(r_peaks_s, dtype=np.float64)
    if r_peaks_s is not None:
        raise InputError("events: give either the R peaks or the ECG, not both")
    return ecg.r_peaks_s()


def contour_size(positions: np.ndarray, closed: bool = False) -> np.ndarray:
    """Returns the relative size (T,) of contours (T, N, 2).

    It is the mean of their length and the root of their enclosed area, each divided by its mean over time.
    """
    length = chord_lengths(positions, closed).sum(axis=-1)
    root_area = np.sqrt(np.abs(signed_area(positions)))
    return (length / np.nanmean(length) + root_area / np.nanmean(root_area)) / 2


def find_contour_events(
    positions: np.ndarray,
    times_s: np.ndarray | None = None,
    *,
    closed: bool = False,
    r_peaks_s: np.ndarray | None = None,
) -> CardiacEvents:
    """Finds events as `find_events` does, from points (T, N, 2) in mm or square pixels, NaN where not tracked."""
    known = np.flatnonzero(np.isfinite(positions).all(axis=(1, 2)))
    if len(known) < 3:
        raise InputError(f"events: {len(known)} tracked frames are less than one cycle")
    first, last = int(known[0]), int(known[-1])
    places = np.arange(len(positions), dtype=np.float64) if times_s is None else np.asarray(times_s, dtype=np.float64)
    size = np.interp(places[first : last + 1], places[known], contour_size(positions[known], closed))
    if len(size) >= 5:
        size = local_quadratic(places[first : last + 1], 1.0 if times_s is None else _SMOOTHING_S) @ size
    swing = float(np.ptp(size))
    if swing < _MINIMUM_SWING:
        raise InputError(
            f"events: the contour's size changes by {100 * swing:.2g} percent, so no beat can be found; give the events"
        )
    if r_peaks_s is not None:
        return _events_between_r_peaks(size, first, times_s, r_peaks_s)
    distance = 3 if times_s is None else max(3, int(_MINIMUM_CYCLE_S / np.median(np.diff(times_s))))
    systoles = _smallest_sizes(size, swing, distance)
    inner = [start + int(np.argmax(size[start:end])) for start, end in pairwise(systoles)]
    end = len(size) - 1
    at_ends = (
        [int(np.argmax(size[: systoles[0]])), systoles[-1] + int(np.argmax(size[systoles[-1] :]))]
        if systoles
        else [int(np.argmax(size))]
    )
    largest = np.mean(size[inner]) if inner else max(size[at_ends])
    at_ends = [frame for frame in at_ends if frame not in (0, end) or size[frame] >= largest - _EDGE_SHARE * swing]
    diastoles = sorted({frame + first for frame in (*inner, *at_ends)})
    rate = None if times_s is None else heart_rate(places[diastoles])
    return CardiacEvents(tuple(diastoles), tuple(frame + first for frame in systoles), "contour", rate)


def _smallest_sizes(size: np.ndarray, swing: float, distance: int) -> list[int]:
    """Returns the frames of the minima of size (T,), one per beat; beats cut off by the clip's ends count too."""
    # The size is padded with its maximum, so that only the recorded side decides whether a cut-off minimum is a beat.
    padded = np.concatenate([[size.max()], size, [size.max()]])
    frames = find_peaks(-padded, prominence=_PROMINENCE_SHARE * swing, distance=distance) - 1
    frames = frames[(frames > 0) & (frames < len(size) - 1)]
    return frames[peak_prominences(-size, frames) >= _CUT_SHARE * swing].tolist()


def _events_between_r_peaks(
    size: np.ndarray, first: int, times_s: np.ndarray | None, r_peaks_s: np.ndarray
) -> CardiacEvents:
    if times_s is None:
        raise InputError("events: R peaks need frame times, which are unknown")
    if r_peaks_s.ndim != 1 or not np.all(np.isfinite(r_peaks_s)) or np.any(np.diff(r_peaks_s) <= 0):
        raise InputError("events: R peaks must be increasing times in seconds")
    known = np.asarray(times_s)[first : first + len(size)]
    half_step = float(np.median(np.diff(known))) / 2
    inside = r_peaks_s[(r_peaks_s >= known[0] - half_step) & (r_peaks_s <= known[-1] + half_step)]
    if not len(inside):
        raise InputError(f"events: no R peak lies within the clip ({known[0]:g} to {known[-1]:g} s)")
    diastoles = np.unique([int(np.argmin(np.abs(known - peak))) for peak in inside])
    interval = float(np.median(np.diff(r_peaks_s))) if len(r_peaks_s) > 1 else np.inf
    systoles = []
    for index, start in enumerate(diastoles):
        length = known[diastoles[index + 1]] - known[start] if index + 1 < len(diastoles) else interval
        until = min(int(np.searchsorted(known, known[start] + _LATEST_SYSTOLE * length, side="right")), len(size))
        smallest = int(start) + int(np.argmin(size[start:until]))
        if start < smallest < len(size) - 1:  # at the clip's end it may still be shrinking
            systoles.append(smallest)
    return CardiacEvents(
        tuple(int(frame) + first for frame in diastoles),
        tuple(frame + first for frame in systoles),
        "ecg",
        heart_rate(r_peaks_s),
    )
