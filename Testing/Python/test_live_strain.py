"""Strain while the wall is followed: the running beat, whole beats as `strain` measures them, and what is not known."""

from __future__ import annotations

import numpy as np
import pytest

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.live.live_strain import LiveStrain, wall_points
from UltrasoundMotionLib.strain import contour_from_clicks, longitudinal_strain
from UltrasoundMotionLib.strain.cardiac_events import CardiacEvents
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks
from UltrasoundMotionLib.tracking.point_tracks import PointTracks

RATE, BEAT = 30, 27  # frames a second, frames a beat
SHORTENING = 0.18
WALL = contour_from_clicks(np.array([[60.0, 200.0], [110.0, 40.0], [170.0, 200.0]])).points_px


def shortening(frame: int) -> float:
    """Relative shortening: nothing at end-diastole (frame 0, 27 ...), the largest in the middle of the beat."""
    return SHORTENING * np.sin(np.pi * (frame % BEAT) / BEAT) ** 2


def wall_at(frame: int, noise: float = 0.0) -> np.ndarray:
    centre = WALL.mean(axis=0)
    rough = np.random.default_rng(frame).normal(scale=noise, size=WALL.shape) if noise else 0.0
    return centre + (WALL - centre) * (1 - shortening(frame)) + rough


def found(frame: int, noise: float = 0.0, seen: float = 1.0) -> FrameTracks:
    visible = np.arange(len(WALL)) < seen * len(WALL)
    return FrameTracks(wall_at(frame, noise), np.where(visible, 0.9, 0.1), visible)


def states(count: int, strain: LiveStrain, **options):
    return [strain.add(frame / RATE, found(frame, **options)) for frame in range(count)]


def test_the_running_strain_is_that_of_the_wall():
    all_states = states(5 * BEAT, LiveStrain("A4C", (0.3, 0.3)))
    assert all_states[0].strain_percent is None and "strain not known" in all_states[0].text()
    known = [(frame, state) for frame, state in enumerate(all_states) if state.strain_percent is not None]
    assert known[0][0] < 2 * BEAT
    for frame, state in known:
        assert state.strain_percent == pytest.approx(-100 * shortening(frame), abs=0.3)
        assert state.unit == "mm"
    last = all_states[-1]
    assert last.low_percent < last.strain_percent < last.high_percent
    assert last.length == pytest.approx(0.3 * np.hypot(*np.diff(wall_at(5 * BEAT - 1), axis=0).T).sum())


def test_a_whole_beat_is_what_strain_gives():
    strain = LiveStrain("A4C", (0.3, 0.3))
    all_states = states(4 * BEAT + 10, strain, noise=0.15)
    beat = all_states[-1].beat
    start, end = (round(time * RATE) for time in (beat.end_diastole_s, beat.end_s))
    frames = range(start, end + 1)
    tracks = PointTracks(
        positions_px=np.stack([wall_at(frame, 0.15) for frame in frames]),
        confidence=np.full((len(frames), len(WALL)), 0.9),
        visible=np.ones((len(frames), len(WALL)), dtype=bool),
        labels=tuple(f"W{number}" for number in range(len(WALL))),
        query_frame=0,
        times_s=np.arange(len(frames)) / RATE,
        spacing_mm=(0.3, 0.3),
    )
    smallest = int(np.argmax([shortening(frame) for frame in frames]))
    offline = longitudinal_strain(tracks, events=CardiacEvents((0, len(frames) - 1), (smallest,)))
    assert beat.strain_percent == pytest.approx(offline.measures.gls_percent, abs=0.5)
    assert beat.strain_percent == pytest.approx(-100 * SHORTENING, abs=1.0)
    assert beat.low_percent < -100 * SHORTENING < beat.high_percent
    assert beat.high_percent - beat.low_percent == pytest.approx(
        offline.uncertainty.high_percent - offline.uncertainty.low_percent, rel=0.2
    )
    assert beat.heart_rate_bpm == pytest.approx(60 * RATE / BEAT, rel=0.08)
    assert "last beat" in all_states[-1].text()


def test_each_beat_is_measured_once():
    all_states = states(8 * BEAT, LiveStrain("A4C", (0.3, 0.3)))
    numbers = [state.beat.number for state in all_states if state.beat is not None]
    assert sorted(set(numbers)) == list(range(1, numbers[-1] + 1)) and 5 <= numbers[-1] <= 7
    times = {state.beat.number: state.beat.end_diastole_s for state in all_states if state.beat is not None}
    np.testing.assert_allclose(np.diff(list(times.values())), BEAT / RATE, atol=2 / RATE)


def test_the_interval_is_not_known_before_a_whole_beat():
    all_states = states(3 * BEAT, LiveStrain("A4C", (0.3, 0.3)))
    early = [state for state in all_states if state.strain_percent is not None and state.beat is None]
    assert early and all(state.low_percent is None for state in early)
    assert "interval not known" in early[0].text()


def test_a_lost_wall_has_no_strain():
    strain = LiveStrain("A4C", (0.3, 0.3))
    states(3 * BEAT, strain)
    assert strain.add(3 * BEAT / RATE, found(3 * BEAT, seen=0.5)).strain_percent is None


def test_a_wall_that_stands_still_has_no_strain_and_no_beat():
    strain = LiveStrain("A4C", None)
    still = FrameTracks(WALL, np.ones(len(WALL)), np.ones(len(WALL), dtype=bool))
    state = [strain.add(frame / RATE, still) for frame in range(4 * BEAT)][-1]
    assert state.strain_percent is None and state.beat is None and state.unit == "px"


def test_a_beat_of_lost_segments_says_why():
    state = states(4 * BEAT, LiveStrain("A4C", (0.3, 0.3)), seen=0.3)[-1]
    assert state.beat is not None and state.beat.strain_percent is None and state.beat.reason


def test_the_memory_is_bounded():
    strain = LiveStrain("SAX-mid", (0.3, 0.3))
    for frame in range(3000):
        strain._kept.append((frame / 500, found(frame)))
        assert len(strain._kept) <= 600


def test_walls_from_clicks_and_from_points():
    clicks = np.array([[60.0, 200.0], [110.0, 40.0], [170.0, 200.0]])
    np.testing.assert_allclose(wall_points(clicks, "A4C", None), WALL)
    assert wall_points(WALL[::6], "A4C", None).shape == WALL.shape
    with pytest.raises(InputError, match="too few"):
        wall_points(WALL[:4], "A4C", None)
