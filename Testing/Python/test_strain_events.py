"""End-diastole and end-systole from contours, from R peaks and from an ECG; on simulated hearts against the truth."""

import numpy as np
import pytest

from strain_motions import POINT_COUNT, beat, half_ellipse, stretched, tracks_of
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.simulation import phantom_set
from UltrasoundMotionLib.simulation.heart import heart_motion, wall_contour
from UltrasoundMotionLib.simulation.motion import trajectories
from UltrasoundMotionLib.strain import CardiacEvents, EcgTrace, find_events, longitudinal_strain


def tracks_with(shortening: np.ndarray, times_s: np.ndarray | None = None):
    return tracks_of(stretched(half_ellipse(), np.tile(1 - 0.18 * shortening[:, None], POINT_COUNT - 1)), times_s)


def three_beats() -> np.ndarray:
    return np.concatenate([beat(), beat()[1:], beat()[1:]])


def ecg(times_s: np.ndarray, r_peaks_s: np.ndarray, seed: int = 0) -> EcgTrace:
    """R waves of 20 ms, T waves of 60 ms and half their height 0.3 s later, a wandering baseline and noise."""
    rng = np.random.default_rng(seed)
    values = 0.8 * np.sin(2 * np.pi * 0.3 * times_s) + 0.03 * rng.standard_normal(len(times_s))
    for peak in r_peaks_s:
        values += np.exp(-(((times_s - peak) / 0.012) ** 2)) - 0.25 * np.exp(-(((times_s - peak - 0.03) / 0.012) ** 2))
        values += 0.5 * np.exp(-(((times_s - peak - 0.3) / 0.06) ** 2))
    return EcgTrace(times_s, values)


def test_beats_are_found_from_the_contour():
    events = find_events(tracks_with(three_beats()))
    assert events == CardiacEvents((0, 40, 80, 120), (16, 56, 96), "contour", pytest.approx(75.0))


def test_a_clip_that_starts_and_ends_in_mid_cycle():
    clip = three_beats()[25:105]
    events = find_events(tracks_with(clip))
    assert (events.end_diastole_frames, events.end_systole_frames) == ((15, 55), (31, 71))
    strain = longitudinal_strain(tracks_with(clip))
    assert (strain.cycle.reference_frame, strain.cycle.last_frame, strain.cycle.complete) == (15, 55, True)


@pytest.mark.parametrize(
    ("first", "last", "whole_systole", "note"),
    [(0, 24, True, "before the next end-diastole"), (8, 41, False, "that follows")],
)
def test_part_of_a_cycle(first, last, whole_systole, note):
    """From end-diastole to after end-systole, or from mid-systole to end-diastole: strain is known, what was not
    recorded is not.
    """
    strain = longitudinal_strain(tracks_with(beat()[first:last]))
    measures = strain.measures
    assert measures.gls_percent == pytest.approx(-18, abs=1e-6)
    assert measures.drift_percent is None
    assert strain.uncertainty.drift_part_percent is None
    assert (measures.peak_systolic_percent is not None) == whole_systole
    assert strain.cycle.whole_systole == whole_systole
    assert any(note in line for line in strain.notes)


def test_less_than_a_systole_is_refused():
    for clip in (beat()[:12], beat()[20:41]):
        with pytest.raises(InputError, match="less than a systole was recorded"):
            longitudinal_strain(tracks_with(clip))
    with pytest.raises(InputError, match="less than one cycle"):
        find_events(tracks_with(beat()[:2]))


def test_r_peaks_are_end_diastoles():
    times = 0.01 + np.arange(121) / 50
    tracks = tracks_with(three_beats(), times)
    events = find_events(tracks, r_peaks_s=np.array([-0.79, 0.05, 0.85, 1.65, 2.9]))
    assert events.source == "ecg"
    assert events.end_diastole_frames == (2, 42, 82)
    assert events.end_systole_frames == (16, 56, 96)
    assert events.heart_rate_bpm == pytest.approx(60 / 0.82, rel=0.02)
    assert longitudinal_strain(tracks, r_peaks_s=np.array([0.05, 0.85])).cycle.reference_frame == 2
    for peaks, message in (([3.5], "no R peak lies within"), ([0.5, 0.4], "increasing times")):
        with pytest.raises(InputError, match=message):
            find_events(tracks, r_peaks_s=np.array(peaks))
    with pytest.raises(InputError, match="need frame times"):
        find_events(tracks_with(three_beats(), np.array([])), r_peaks_s=np.array([0.5]))


@pytest.mark.parametrize("sign", [1, -1])
def test_r_peaks_of_an_ecg(sign):
    times = np.arange(0, 3, 1 / 500)
    peaks = np.array([0.1, 0.9, 1.72, 2.5])
    trace = ecg(times, peaks)
    trace = EcgTrace(times, sign * trace.values)
    np.testing.assert_allclose(trace.r_peaks_s(), peaks, atol=0.012)
    tracks = tracks_with(three_beats())
    np.testing.assert_array_equal(find_events(tracks, ecg=trace).end_diastole_frames, [5, 45, 86])
    with pytest.raises(InputError, match="not both"):
        find_events(tracks, ecg=trace, r_peaks_s=peaks)


def test_bad_ecg():
    for times, values, message in (
        (np.arange(100) / 10, np.zeros(100), "too few"),
        (np.arange(100) / 500, np.zeros(99), "equal length"),
        (np.arange(100) / 500, np.full(100, np.nan), "finite"),
        (np.r_[0, 0.1, 0.11], np.zeros(3), "even steps"),
    ):
        with pytest.raises(InputError, match=message):
            EcgTrace(times, values)
    with pytest.raises(InputError, match="flat"):
        EcgTrace(np.arange(1000) / 500, np.zeros(1000)).r_peaks_s()


def test_events_are_checked():
    tracks = tracks_with(three_beats())
    with pytest.raises(InputError, match="increasing frames"):
        CardiacEvents((40, 0), (16,))
    for events, message in (
        (CardiacEvents((0,), (500,)), "frame 500 does not exist"),
        (CardiacEvents((0,), ()), "less than a systole"),
        (CardiacEvents((0, 80), (16, 56)), "no end-diastole between"),
    ):
        with pytest.raises(InputError, match=message):
            longitudinal_strain(tracks, events=events)


def test_simulated_hearts():
    """Exact tracks of varied hearts: end-systole within one frame, strain of the whole and of each segment within 0.1
    points of the truth.
    """
    checked = 0
    for case in phantom_set("heart", "hard", 5, 77, frame_count=90):
        phantom = case.phantom
        motion, times = heart_motion(phantom), phantom.times_s
        positions = phantom.imaging.pixels_from_mm(trajectories(motion, wall_contour(motion, "mid", 49), times))
        strain = longitudinal_strain(tracks_of(positions, times, phantom.imaging.spacing_mm))
        truth = motion.ventricle.peak_strain * phantom.course.activation(times)
        systoles = (np.mod(phantom.course.systole - phantom.course.start, 1.0) + np.arange(8)) * phantom.course.period_s
        for frame in strain.events.end_systole_frames:
            assert np.abs(systoles - times[frame]).min() < 1.01 * (times[1] - times[0])
        reference = strain.cycle.reference_frame
        for curve, exact in (
            (strain.global_percent, truth),
            (strain.segmental_percent, motion.ventricle.segment_strain(truth)),
        ):
            np.testing.assert_allclose(curve, 100 * ((1 + exact) / (1 + exact[reference]) - 1), atol=0.1)
        assert strain.measures.gls_percent == pytest.approx(100 * motion.ventricle.peak_strain, abs=0.1)
        checked += 1
    assert checked == 5
