"""Strain while the wall is followed: length and strain of the running beat, and each whole beat measured as `strain`
measures it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain.cardiac_events import CardiacEvents
from UltrasoundMotionLib.strain.contour_strain import circumferential_strain, longitudinal_strain
from UltrasoundMotionLib.strain.curve_geometry import chord_lengths
from UltrasoundMotionLib.strain.find_events import find_contour_events
from UltrasoundMotionLib.strain.segment_model import segment_model
from UltrasoundMotionLib.strain.strain_config import StrainConfig
from UltrasoundMotionLib.strain.strain_result import StrainResult
from UltrasoundMotionLib.strain.wall_contour import contour_from_clicks, contour_from_curve
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

_WINDOW_S = 4.0
"""Time in which events are looked for: two beats at 30 a minute."""
_MOST_FRAMES = 600
_LOOK_EVERY_S = 0.1
_SETTLED_S = 0.1
"""An end-diastole counts once so much time has passed since."""
_LEAST_VISIBLE_SHARE = 0.6
_NORMAL_95 = 1.96
_CONTOUR_POINTS = 49


@dataclass(frozen=True)
class BeatStrain:
    """Strain of a whole beat.

    Attributes:
        number: counts the beats from 1.
        end_diastole_s, end_s: its times on the session's axis.
        strain_percent: end-systolic strain of the whole wall, None where it was not given.
        low_percent, high_percent: its 95 % interval; None where unknown.
        drift_percent: strain at its end, which should be 0.
        heart_rate_bpm: from its length.
        reason: why there is no strain; empty where there is.
    """

    number: int
    end_diastole_s: float
    end_s: float
    strain_percent: float | None
    low_percent: float | None
    high_percent: float | None
    drift_percent: float | None
    heart_rate_bpm: float
    reason: str = ""


@dataclass(frozen=True)
class StrainState:
    """Strain at one frame.

    Attributes:
        length: of the contour, in `unit`.
        unit: "mm", or "px" where the size of a pixel is unknown.
        strain_percent: 100 (L - L0) / L0, L0 the length at the last end-diastole; None before one was found, and while
            too much of the wall is lost.
        low_percent, high_percent: its 95 % interval, from the last whole beat's; None before there is one.
        beat: the last whole beat, None before there is one.
    """

    length: float
    unit: str
    strain_percent: float | None = None
    low_percent: float | None = None
    high_percent: float | None = None
    beat: BeatStrain | None = None

    def text(self) -> str:
        """`82.1 mm, strain -12.3 % (-15.0 to -9.6); last beat -18.2 % (-21.9 to -14.5), 62/min`."""
        parts = [f"{self.length:.1f} {self.unit}"]
        if self.strain_percent is None:
            parts.append("strain not known")
        else:
            parts.append(f"strain {_with_interval(self.strain_percent, self.low_percent, self.high_percent)}")
        text = ", ".join(parts)
        beat = self.beat
        if beat is None:
            return text
        if beat.strain_percent is None:
            return f"{text}; last beat: {beat.reason}"
        measured = _with_interval(beat.strain_percent, beat.low_percent, beat.high_percent)
        return f"{text}; last beat {measured}, {beat.heart_rate_bpm:.0f}/min"


class LiveStrain:
    """Computes strain from the contour's points of frame after frame; keeps a few seconds of them."""

    def __init__(self, view: str, spacing_mm: tuple[float, float] | None, model: str = "") -> None:
        self._model = segment_model(view)
        self._spacing, self._tracker = spacing_mm, model
        self._config = StrainConfig(orientation="as given")
        self._kept: deque[tuple[float, FrameTracks]] = deque(maxlen=_MOST_FRAMES)
        self._next_look_s = -np.inf
        self._reference: tuple[float, float] | None = None
        self._beats = 0
        self._beat: BeatStrain | None = None
        self._parts_percent: float | None = None

    def add(self, time_s: float, found: FrameTracks) -> StrainState:
        """Takes the contour's points of the next frame."""
        self._kept.append((time_s, found))
        while self._kept[-1][0] - self._kept[0][0] > _WINDOW_S:
            self._kept.popleft()
        if time_s >= self._next_look_s:
            self._next_look_s = time_s + _LOOK_EVERY_S
            self._look()
        length = self._length(found.positions_px)
        unit = "px" if self._spacing is None else "mm"
        if self._reference is None or np.mean(found.visible) < _LEAST_VISIBLE_SHARE:
            return StrainState(length, unit, beat=self._beat)
        strain = 100.0 * (length / self._reference[1] - 1.0)
        if self._parts_percent is None:
            return StrainState(length, unit, strain, beat=self._beat)
        common = np.hypot(self._config.common_error_percent, self._config.common_error_share * strain)
        half = _NORMAL_95 * float(np.hypot(common, self._parts_percent))
        return StrainState(length, unit, strain, strain - half, strain + half, self._beat)

    def _length(self, positions_px: np.ndarray) -> float:
        scaled = positions_px * np.asarray(self._spacing or (1.0, 1.0))
        return float(chord_lengths(scaled, self._model.closed).sum())

    def _look(self) -> None:
        """Looks for end-diastoles in what is kept, and measures a beat once it is whole."""
        times = np.array([time for time, _ in self._kept])
        if len(times) < 5:
            return
        positions = np.stack([found.positions_px for _, found in self._kept])
        try:
            scaled = positions * np.asarray(self._spacing or (1.0, 1.0))
            events = find_contour_events(scaled, times, closed=self._model.closed)
        except InputError:  # no beat in these seconds
            return
        diastoles = [
            frame
            for frame in events.end_diastole_frames
            if frame > 0 and times[-1] - times[frame] >= _SETTLED_S and self._shrinks_after(scaled, frame)
        ]
        if not diastoles:
            return
        last = diastoles[-1]
        self._reference = float(times[last]), self._length(positions[last])
        whole = [
            (start, systole, end)
            for start, end in pairwise(diastoles)
            for systole in events.end_systole_frames
            if start < systole < end
        ]
        if whole and (self._beat is None or times[whole[-1][0]] > self._beat.end_s - _SETTLED_S):
            self._measure(times, *whole[-1])

    def _shrinks_after(self, scaled: np.ndarray, frame: int) -> bool:
        """Tells whether the contour is shorter at the end than at `frame`, so that this was the largest."""
        lengths = chord_lengths(scaled[frame:], self._model.closed).sum(axis=-1)
        return bool(lengths[0] > lengths[1:].min(initial=lengths[0]))

    def _measure(self, times: np.ndarray, start: int, systole: int, end: int) -> None:
        kept = list(self._kept)[start : end + 1]
        tracks = PointTracks(
            positions_px=np.stack([found.positions_px for _, found in kept]),
            confidence=np.stack([found.confidence for _, found in kept]),
            visible=np.stack([found.visible for _, found in kept]),
            labels=tuple(f"W{number + 1}" for number in range(len(kept[0][1].positions_px))),
            query_frame=0,
            times_s=times[start : end + 1] - times[start],
            spacing_mm=self._spacing,
            model=self._tracker,
        )
        events = CardiacEvents((0, end - start), (systole - start,), "contour")
        compute = circumferential_strain if self._model.closed else longitudinal_strain
        result: StrainResult | None = None
        reason = "too few segments were tracked"
        try:
            result = compute(tracks, view=self._model.view, events=events, config=self._config)
        except InputError as error:
            reason = str(error)
        self._beats += 1
        value = None if result is None else result.measures.gls_percent
        spread = None if result is None else result.uncertainty
        if spread is not None:
            own = (spread.roughness_part_percent, spread.drift_part_percent or 0.0, spread.rejected_part_percent)
            self._parts_percent = float(np.linalg.norm(own))
        self._beat = BeatStrain(
            self._beats,
            float(times[start]),
            float(times[end]),
            value,
            None if spread is None else spread.low_percent,
            None if spread is None else spread.high_percent,
            None if result is None else result.measures.drift_percent,
            60.0 / float(times[end] - times[start]),
            "" if value is not None else reason,
        )


def wall_points(given_px: np.ndarray, view: str, spacing_mm: tuple[float, float] | None) -> np.ndarray:
    """Returns the points (N, 2) of a wall to follow, from three clicks (hinge, apex, hinge) or from points along it.

    Raises:
        InputError: see `contour_from_clicks` and `contour_from_curve`.
    """
    make = contour_from_clicks if len(given_px) == 3 else contour_from_curve
    return make(given_px, _CONTOUR_POINTS, view=view, spacing_mm=spacing_mm).points_px


def _with_interval(value: float, low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return f"{value:.1f} % (interval not known)"
    return f"{value:.1f} % ({low:.1f} to {high:.1f})"
