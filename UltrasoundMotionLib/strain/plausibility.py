"""Doubts about a strain computation's input: rates, times, contours and beats that can hardly be as they are given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.cardiac_events import CardiacCycle, CardiacEvents
from UltrasoundMotionLib.strain.curve_geometry import chord_lengths
from UltrasoundMotionLib.strain.find_events import contour_size, find_contour_events
from UltrasoundMotionLib.strain.strain_measures import GlobalStrainMeasures
from UltrasoundMotionLib.tracking.registry import TRACKERS

_HEART_RATES_BPM = (25.0, 220.0)
"""Slowest and fastest heart rate of a person; a mouse has 300 to 700."""
_SYSTOLES_S = (0.1, 0.7)
"""Shortest and longest time from end-diastole to end-systole of a person."""
_FRAME_RATES_HZ = (10.0, 5000.0)
"""A beat needs more than 10 frames a second; ultrafast imaging reaches a few thousand."""
_STRAIN_RATES_PER_S = (0.1, 8.0)
"""Least and largest peak systolic rate of a wall that shortens by 5 % or more."""
_STRAINS_PERCENT = (-45.0, 10.0)
"""Most and least negative global strain of longitudinal or circumferential shortening."""
_CLEAR_STRAIN_PERCENT = 5.0
_MOVING_SHARE_AT_START, _MOVING_SHARE_AT_END = 0.15, 0.22
"""Change of size over a sixth of the frames between a clip's end and end-systole, as a fraction of its range, above
which that end of the clip is no end-diastole; a ventricle fills fast at its end, by the atrial kick.
"""
_IRREGULAR_SHARE = 0.15
"""Difference of the longest and the shortest beat, as a fraction of their mean, above which the rhythm is irregular."""
_OPEN_STEPS, _OPEN_SHARE = 2.5, 0.12
_RING_STEPS, _RING_SHARE = 1.6, 0.14


@dataclass(frozen=True)
class BeatSummary:
    """Global end-systolic strain of every whole beat of a clip.

    Attributes:
        percent: strain of each whole beat, each relative to its own end-diastole.
        mean_percent: their mean.
        standard_deviation_percent: their standard deviation (n - 1); None for one beat.
        durations_s: duration of each whole beat; empty where frame times are unknown.
        irregular: True where the longest and the shortest beat differ by more than 15 % of the mean.
    """

    percent: tuple[float, ...]
    mean_percent: float
    standard_deviation_percent: float | None
    durations_s: tuple[float, ...]
    irregular: bool


def summarise_beats(
    cycles: tuple[CardiacCycle, ...], measures: tuple[GlobalStrainMeasures, ...], times_s: np.ndarray | None
) -> BeatSummary | None:
    """Summarises the whole beats of a clip; None where it has none that could be measured.

    Args:
        cycles: the cycles of the clip.
        measures: those of each cycle, in the same order.
        times_s: (T,) frame times, or None when unknown.
    """
    whole = [
        (cycle, measured.end_systolic_percent)
        for cycle, measured in zip(cycles, measures, strict=True)
        if cycle.complete and cycle.whole_systole and measured.end_systolic_percent is not None
    ]
    if not whole:
        return None
    percent = tuple(float(value) for _, value in whole)
    frames = [(cycle.first_frame, cycle.last_frame) for cycle, _ in whole]
    lengths = [end - start if times_s is None else float(times_s[end] - times_s[start]) for start, end in frames]
    return BeatSummary(
        percent,
        float(np.mean(percent)),
        float(np.std(percent, ddof=1)) if len(percent) > 1 else None,
        () if times_s is None else tuple(lengths),
        len(lengths) > 1 and (max(lengths) - min(lengths)) > _IRREGULAR_SHARE * float(np.mean(lengths)),
    )


def beat_notes(beats: BeatSummary | None, measured: float | None) -> list[str]:
    """Returns a note on the beats where there are several: each one's strain, mean, spread, and the measured one."""
    if beats is None or len(beats.percent) < 2 or measured is None:
        return []
    each = ", ".join(f"{value:.1f}" for value in beats.percent)
    note = (
        f"{len(beats.percent)} whole beats: {each} %, mean {beats.mean_percent:.1f},"
        f" standard deviation {beats.standard_deviation_percent:.1f}; the result is that of one beat, {measured:.1f} %"
    )
    if beats.irregular:
        durations = ", ".join(f"{value:.2f}" for value in beats.durations_s)
        lasting = f" ({durations} s)" if durations else ""
        note += f"; the rhythm is irregular{lasting}: report the mean, of five beats or more in atrial fibrillation"
    return [note]


def check_closing(points: np.ndarray, closed: bool, view: str) -> None:
    """Checks that a contour (N, 2) in mm is a ring where the view shows one, and open where it shows none.

    Raises:
        InputError: an open contour in a short-axis view; a ring in an apical view.
    """
    steps = chord_lengths(points, closed=True)
    step, length = float(np.median(steps)), float(steps.sum())
    if closed:
        gap = float(steps.max())  # not the last step where the order was reversed
        if gap > _OPEN_STEPS * step and gap > _OPEN_SHARE * length:
            raise InputError(
                f"contour: it is open: two of its points lie {gap / step:.1f} times as far from each other as"
                f" neighbours usually do, but {view} shows a ring; is it an apical view (A4C, A2C, APLAX)?"
            )
    elif steps[-1] < _RING_STEPS * step and steps[-1] < _RING_SHARE * length:
        raise InputError(
            f"contour: it is a ring: its last point lies next to the first, but {view} shows a wall from base over"
            " apex to base; is it a short-axis view (SAX-base, SAX-mid, SAX-apex)?"
        )


def input_doubts(
    positions: np.ndarray,
    times_s: np.ndarray | None,
    events: CardiacEvents,
    cycle: CardiacCycle,
    closed: bool,
) -> list[str]:
    """Returns doubts about times, heart rate and beats, one line each; empty where all is plausible.

    Args:
        positions: (T, N, 2) in mm or square pixels, NaN where not tracked.
        times_s: (T,) frame times, or None when unknown.
        cycle: the measured cycle.
    """
    doubts = [] if times_s is None else _rate_doubts(positions, times_s, events, cycle, closed)
    return doubts + _edge_doubts(positions, events, cycle, closed)


def _rate_doubts(
    positions: np.ndarray, times_s: np.ndarray, events: CardiacEvents, cycle: CardiacCycle, closed: bool
) -> list[str]:
    found = []
    frame_rate = 1.0 / float(np.nanmedian(np.diff(times_s)))
    if not _FRAME_RATES_HZ[0] <= frame_rate <= _FRAME_RATES_HZ[1]:
        found.append(f"{frame_rate:.3g} frames a second")
    rate = events.heart_rate_bpm
    if rate is not None and not _HEART_RATES_BPM[0] <= rate <= _HEART_RATES_BPM[1]:
        found.append(f"{rate:.3g} beats a minute")
    between = abs(float(times_s[cycle.end_systole_frame] - times_s[cycle.reference_frame]))
    if between < _SYSTOLES_S[0] or (cycle.whole_systole and between > _SYSTOLES_S[1]):
        found.append(f"a {'systole' if cycle.whole_systole else 'diastole'} of {between:.3g} s")
    if events.source == "contour":
        count = _beats_by_frames(positions, closed)
        if count > len(events.end_systole_frames):
            found.append(f"{count} beats in {float(times_s[-1] - times_s[0]):.3g} s, of which not all could be taken")
    if not found:
        return []
    return [
        f"{', '.join(found)}: that cannot be in a person; the frame times or the frame rate are wrong (times in"
        " milliseconds?), and with them strain rate and times to peak"
    ]


def _beats_by_frames(positions: np.ndarray, closed: bool) -> int:
    """Returns the number of end-systoles that are seen when the frame times are not believed."""
    try:
        return len(find_contour_events(positions, closed=closed).end_systole_frames)
    except InputError:
        return 0


def _edge_doubts(positions: np.ndarray, events: CardiacEvents, cycle: CardiacCycle, closed: bool) -> list[str]:
    """Returns a doubt where the reference frame is an end of the clip at which the wall is still moving."""
    known = np.flatnonzero(np.isfinite(positions).all(axis=(1, 2)))
    reference = cycle.reference_frame
    if events.source != "contour" or len(known) < 5 or reference not in (known[0], known[-1]):
        return []
    size = contour_size(positions[known], closed)
    at_start = reference == known[0]
    later = round(abs(cycle.end_systole_frame - reference) / 6)
    if later < 1:
        return []  # too few frames to tell
    change = size[0] - size[later] if at_start else size[-1] - size[-1 - later]
    if change <= (_MOVING_SHARE_AT_START if at_start else _MOVING_SHARE_AT_END) * float(np.ptp(size)):
        return []
    side = "begins" if at_start else "ends"
    return [
        f"the clip {side} on frame {reference} while the wall is moving fast, so it holds no whole beat there:"
        " end-diastole lies outside of it, and the strain may be too small"
    ]


def tracker_doubts(model: str) -> list[str]:
    """Returns a doubt where a registered tracker that is not meant for walls followed the wall; empty otherwise."""
    trackers = {entry.name: entry for entry in TRACKERS.all()}
    if model not in trackers or trackers[model].for_walls:
        return []
    made_for_walls = " or ".join(name for name, entry in trackers.items() if entry.for_walls)
    return [
        f"the wall was followed by {model}, which expects neighbours to move alike, so that shortening may come out too"
        f" small; {made_for_walls} is made for walls"
    ]


def result_doubts(kind: str, percent: float | None, peak_rate_per_s: float | None) -> list[str]:
    """Returns doubts about the measured global strain in percent and its peak systolic rate, one line each."""
    if percent is None or kind not in ("longitudinal", "circumferential"):
        return []
    doubts = []
    if not _STRAINS_PERCENT[0] <= percent <= _STRAINS_PERCENT[1]:
        doubts.append(f"a global {kind} strain of {percent:.1f} % can hardly be: check the tracked wall and the events")
    low, high = _STRAIN_RATES_PER_S
    if peak_rate_per_s is not None and percent <= -_CLEAR_STRAIN_PERCENT and not low <= abs(peak_rate_per_s) <= high:
        doubts.append(
            f"a peak systolic strain rate of {peak_rate_per_s:.2g} per second can hardly be: check the frame times"
        )
    return doubts
