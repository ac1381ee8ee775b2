"""Finds end-diastole and end-systole: from an ECG, or from how the contour's length and area change."""

from __future__ import annotations

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.cardiac_events import CardiacEvents, heart_rate
from UltrasoundMotionLib.strain.curve_geometry import chord_lengths, signed_area

MINIMUM_CYCLE_S = 0.3  # 200 beats per minute
PROMINENCE_SHARE = 0.4  # of the whole swing: smaller ups and downs are no beat (the atrial kick, noise)
EDGE_SHARE = 0.05  # a clip that starts or ends this near to the largest size starts or ends with end-diastole
MINIMUM_SWING = 0.01  # relative change of size below which nothing beats


def contour_size(positions: np.ndarray, closed: bool = False) -> np.ndarray:
    """(T,) relative size of (T, N, 2) contours: the mean of length and root of enclosed area, each divided by its mean over time."""
    length = chord_lengths(positions, closed).sum(axis=-1)
    root_area = np.sqrt(np.abs(signed_area(positions)))
    return (length / np.nanmean(length) + root_area / np.nanmean(root_area)) / 2


def find_events(
    positions: np.ndarray, times_s: np.ndarray | None = None, *, closed: bool = False, r_peaks_s: np.ndarray | None = None
) -> CardiacEvents:
    """End-diastoles and end-systoles of a tracked contour.

    Without an ECG the contour's size tells: end-systole is where it is smallest, end-diastole where it is largest between two of those
    (surrogates of valve closure; Mada et al. 2015, "How to define end-diastole and end-systole?"). With R peaks, they are the end-diastoles, and
    end-systole is where the size is smallest between them.

    Args:
        positions: (T, N, 2) contour points, in mm or in square pixels; NaN in frames that are not known.
        times_s: (T,) or None when unknown.
        closed: the contour is a ring.
        r_peaks_s: times of the ECG's R peaks in the clip's time, or None.

    Raises:
        InputError: fewer than 3 known frames; nothing that beats; R peaks without times or outside of the clip.
    """
    size = contour_size(positions, closed)
    known = np.flatnonzero(np.isfinite(size))
    if len(known) < 3:
        raise InputError(f"events: {len(known)} tracked frames are less than one cycle")
    size = np.interp(np.arange(len(size)), known, size[known])
    first, last = int(known[0]), int(known[-1])
    swing = float(np.ptp(size[first : last + 1]))
    if swing < MINIMUM_SWING:
        raise InputError(f"events: the contour's size changes by {100 * swing:.2g} percent, so no beat can be found; give the events")
    if r_peaks_s is not None:
        return _events_between_r_peaks(size, times_s, np.asarray(r_peaks_s, dtype=np.float64))
    from scipy.signal import find_peaks

    distance = 3 if times_s is None else max(3, int(MINIMUM_CYCLE_S / np.median(np.diff(times_s))))
    inner, _ = find_peaks(-size[first : last + 1], prominence=PROMINENCE_SHARE * swing, distance=distance)
    systoles = [int(frame) + first for frame in inner]
    diastoles = []
    for start, end in zip([first, *systoles], [*systoles, last], strict=True):
        part = size[start : end + 1]
        if len(part) < 2:
            continue
        largest = start + int(np.argmax(part))
        at_edge = largest in (first, last)
        if not at_edge or size[largest] >= size.max() - EDGE_SHARE * swing:
            diastoles.append(largest)
    rate = None if times_s is None else heart_rate(np.asarray(times_s)[diastoles])
    return CardiacEvents(tuple(diastoles), tuple(systoles), "contour", rate)


def _events_between_r_peaks(size: np.ndarray, times_s: np.ndarray | None, r_peaks_s: np.ndarray) -> CardiacEvents:
    if times_s is None:
        raise InputError("events: R peaks need frame times, which are unknown")
    if r_peaks_s.ndim != 1 or not np.all(np.isfinite(r_peaks_s)) or np.any(np.diff(r_peaks_s) <= 0):
        raise InputError("events: R peaks must be increasing times in seconds")
    half_step = np.median(np.diff(times_s)) / 2
    inside = r_peaks_s[(r_peaks_s >= times_s[0] - half_step) & (r_peaks_s <= times_s[-1] + half_step)]
    if not len(inside):
        raise InputError(f"events: no R peak lies within the clip ({times_s[0]:g} to {times_s[-1]:g} s)")
    diastoles = [int(np.argmin(np.abs(times_s - peak))) for peak in inside]
    systoles = []
    for start, end in zip(diastoles, [*diastoles[1:], len(size) - 1], strict=True):
        smallest = start + int(np.argmin(size[start : end + 1]))
        if start < smallest < end or (smallest == end and end in diastoles[1:]):
            systoles.append(smallest)
    return CardiacEvents(tuple(diastoles), tuple(systoles), "ecg", heart_rate(r_peaks_s))
