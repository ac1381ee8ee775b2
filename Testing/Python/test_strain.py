"""Strain of walls that move in closed form: every quantity is recomputed here from the motion."""

import gc
import sys
from dataclasses import replace

import numpy as np
import pytest

from strain_motions import POINT_COUNT, beat, half_ellipse, ring, stretched, tracks_of
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain import (
    CardiacEvents,
    StrainConfig,
    circumferential_strain,
    layered_strain,
    longitudinal_strain,
    ventricle_strain,
)
from UltrasoundMotionLib.strain.layered_strain import wall_thickness

SEGMENT_PEAKS = np.array([-10.0, -25.0, -18.0, 4.0, -14.0, -20.0])
CHORDS = 0.03  # percent points: equal arcs have shorter chords at the apex, which moves the segments' borders


def regional(activation: np.ndarray, peaks: np.ndarray = SEGMENT_PEAKS) -> np.ndarray:
    """(T, 48) stretch of pieces whose segments shorten by their own peaks."""
    return 1 + activation[:, None] * np.repeat(peaks, (POINT_COUNT - 1) // 6) / 100


def test_uniform_shortening():
    activation = beat()
    strain = longitudinal_strain(tracks_of(stretched(half_ellipse(), regional(activation, np.full(6, -18.0)))))
    np.testing.assert_allclose(strain.global_percent, -18 * activation, atol=1e-9)
    np.testing.assert_allclose(strain.segmental_percent, np.tile(-18 * activation[:, None], 6), atol=1e-9)
    np.testing.assert_allclose(strain.point_percent, np.tile(-18 * activation[:, None], POINT_COUNT), atol=1e-9)
    np.testing.assert_allclose(strain.natural_global_percent, 100 * np.log(1 - 0.18 * activation), atol=1e-9)
    assert (strain.cycle.reference_frame, strain.cycle.end_systole_frame, strain.cycle.last_frame) == (0, 16, 40)
    measures = strain.measures
    values = (
        measures.gls_percent,
        measures.gls_segment_mean_percent,
        measures.peak_systolic_percent,
        measures.peak_percent,
    )
    np.testing.assert_allclose(values, -18, atol=1e-9)
    assert measures.positive_peak_percent == pytest.approx(0, abs=1e-9)
    assert measures.post_systolic_index_percent == 0
    assert measures.time_to_peak_s == pytest.approx(16 / 50)
    assert measures.drift_percent == pytest.approx(0, abs=1e-9)
    assert strain.events.heart_rate_bpm == pytest.approx(60 / 0.8)
    assert strain.uncertainty.standard_deviation_percent == pytest.approx(
        np.hypot(1.0, 1.8), abs=0.05
    )  # nothing but what all points may do alike
    assert strain.uncertainty.low_percent < -18 < strain.uncertainty.high_percent
    lengths = np.hypot(*np.diff(half_ellipse() * 0.5, axis=0).T).sum()
    np.testing.assert_allclose(strain.length_mm, lengths * (1 - 0.18 * activation))


def test_each_segment_has_its_own_strain_and_the_whole_is_their_weighted_mean():
    activation = beat()
    strain = longitudinal_strain(tracks_of(stretched(half_ellipse(), regional(activation))), view="A2C")
    np.testing.assert_allclose(strain.segmental_percent, activation[:, None] * SEGMENT_PEAKS, atol=CHORDS)
    np.testing.assert_allclose(strain.measures.gls_percent, SEGMENT_PEAKS.mean(), atol=CHORDS)
    np.testing.assert_allclose(strain.measures.gls_segment_mean_percent, SEGMENT_PEAKS.mean(), atol=CHORDS)
    assert strain.segment_names[3] == "apical anterior"
    stretching = strain.segment_measures[3]
    assert stretching.positive_peak_percent == pytest.approx(4, abs=CHORDS)
    assert stretching.peak_systolic_percent == pytest.approx(0, abs=1e-9)
    assert [measures.number for measures in strain.segment_measures] == [4, 10, 15, 13, 7, 1]
    np.testing.assert_array_equal(strain.segment_of_point[[0, 7, 9, 24, 48]], [0, 0, 1, 2, 5])


def test_segment_borders_between_points_divide_a_piece():
    activation = beat()
    points = half_ellipse(32)
    strain = longitudinal_strain(tracks_of(stretched(points, 1 - 0.2 * activation[:, None] * np.linspace(0, 1, 31))))
    pieces, stretch = np.full(31, 1.0), 1 - 0.2 * np.linspace(0, 1, 31)
    fine = np.repeat(np.stack([pieces, stretch], axis=1), 600, axis=0).reshape(
        6, -1, 2
    )  # equal pieces, so fine parts are equal too
    expected = 100 * (fine[..., 1].mean(axis=1) - 1)
    np.testing.assert_allclose(strain.segmental_percent[16], expected, atol=0.02)


@pytest.mark.parametrize("scale", [0.0, 1.0])
def test_rigid_motion_adds_nothing(scale):
    """Rotation and translation alone give zero; on top of shortening they change nothing."""
    activation = beat()
    shortened = stretched(half_ellipse(), regional(scale * activation))
    angle = np.deg2rad(12) * np.sin(2 * np.pi * np.arange(41) / 40)
    turn = np.stack([np.stack([np.cos(angle), np.sin(angle)], -1), np.stack([-np.sin(angle), np.cos(angle)], -1)], -2)
    moved = (
        np.einsum("tnc,tcd->tnd", shortened - 128, turn)
        + 128
        + np.stack([8 * activation, np.linspace(0, 15, 41)], axis=1)[:, None]
    )
    events = CardiacEvents((0, 40), (16,))
    strain = longitudinal_strain(tracks_of(moved), events=events)
    still = longitudinal_strain(tracks_of(shortened), events=events)
    np.testing.assert_allclose(strain.global_percent, still.global_percent, atol=1e-9)
    np.testing.assert_allclose(strain.segmental_percent, still.segmental_percent, atol=1e-9)
    if scale == 0:
        np.testing.assert_allclose(strain.global_percent, 0, atol=1e-9)
        with pytest.raises(InputError, match="no beat can be found"):
            longitudinal_strain(tracks_of(moved))


def test_drift_is_reported_and_only_compensated_when_asked():
    activation, times = beat(), np.cumsum(np.linspace(0.01, 0.03, 41))
    drift = 6 * (times - times[0]) / (times[-1] - times[0])
    stretch = np.tile(1 + (-18 * activation + drift)[:, None] / 100, POINT_COUNT - 1)
    tracks = tracks_of(stretched(half_ellipse(), stretch), times)
    events = CardiacEvents((0, 40), (16,))
    raw = longitudinal_strain(tracks, events=events)
    compensated = longitudinal_strain(tracks, events=events, config=StrainConfig(compensate_drift=True))
    np.testing.assert_allclose(raw.global_percent, -18 * activation + drift, atol=1e-9)
    np.testing.assert_allclose(compensated.global_percent, -18 * activation, atol=1e-9)
    for result in (raw, compensated):
        assert result.drift.global_percent == pytest.approx(6)
        assert result.measures.drift_percent == pytest.approx(6)
        np.testing.assert_allclose(result.drift.segmental_percent, 6)
    assert (raw.drift.compensated, compensated.drift.compensated) == (False, True)


def test_strain_rate_uses_true_uneven_times():
    steps = 0.02 * (1 + 0.4 * np.sin(np.arange(80)))
    times = np.concatenate([[0], np.cumsum(steps)])
    phase = np.pi * times / times[-1]
    stretch = np.tile(1 - 0.2 * np.sin(phase)[:, None] ** 2, POINT_COUNT - 1)
    end_systole = int(np.argmax(np.sin(phase)))
    strain = longitudinal_strain(
        tracks_of(stretched(half_ellipse(), stretch), times), events=CardiacEvents((0, 80), (end_systole,))
    )
    expected = -0.2 * np.sin(2 * phase) * np.pi / times[-1]
    np.testing.assert_allclose(strain.strain_rate_per_s[1:-1], expected[1:-1], atol=0.003)
    np.testing.assert_allclose(strain.natural_strain_rate_per_s[1:-1], (expected / stretch[:, 0])[1:-1], atol=0.003)
    np.testing.assert_allclose(strain.segmental_strain_rate_per_s[1:-1, 2], expected[1:-1], atol=0.003)
    assert strain.measures.peak_systolic_rate_per_s == pytest.approx(expected.min(), abs=0.003)
    assert strain.measures.peak_diastolic_rate_per_s == pytest.approx(expected.max(), abs=0.003)


def test_post_systolic_shortening():
    """One segment peaks eight frames after end-systole."""
    activation = beat()
    late = np.interp(np.arange(41), [0, 8, 16, 24, 40], [0, -0.2, 0.5, 1.0, 0.0])
    stretch = regional(activation, np.full(6, -18.0))
    stretch[:, 16:24] = 1 - 0.15 * late[:, None]
    strain = longitudinal_strain(tracks_of(stretched(half_ellipse(), stretch)), events=CardiacEvents((0, 40), (16,)))
    measures = strain.segment_measures[2]
    assert measures.end_systolic_percent == pytest.approx(-7.5, abs=CHORDS)
    assert measures.positive_peak_percent == pytest.approx(3.0, abs=CHORDS)
    assert (measures.peak_percent, measures.post_systolic_percent) == pytest.approx((-15.0, -15.0), abs=CHORDS)
    assert measures.post_systolic_index_percent == pytest.approx(50.0, abs=0.2)
    assert (measures.time_to_peak_s, measures.frames_to_peak) == (pytest.approx(24 / 50), 24)
    assert strain.segment_measures[1].post_systolic_index_percent == 0


def test_unknown_spacing_and_times():
    strain = longitudinal_strain(tracks_of(stretched(half_ellipse(), regional(beat())), np.array([]), None))
    np.testing.assert_allclose(strain.measures.gls_percent, SEGMENT_PEAKS.mean(), atol=CHORDS)
    assert strain.length_mm is None
    assert strain.strain_rate_per_s is None
    assert strain.measures.time_to_peak_s is None
    assert strain.measures.frames_to_peak == 16
    assert strain.events.heart_rate_bpm is None
    assert [note.split(":")[0] for note in strain.notes] == ["spacing unknown", "frame times unknown"]


def test_pixels_that_are_not_square_are_lengths_in_mm():
    scale = np.array([0.25, 1.0])
    moved = stretched(half_ellipse(), regional(beat()))
    strain = longitudinal_strain(tracks_of(moved / scale, spacing_mm=tuple(scale)))
    np.testing.assert_allclose(
        strain.segmental_percent, longitudinal_strain(tracks_of(moved, spacing_mm=(1, 1))).segmental_percent, atol=1e-9
    )


def test_several_cycles_are_measured_each_from_its_own_end_diastole():
    first, second = 0.18 * beat(), 0.14 * beat()
    shortening = np.concatenate([first, second[1:], first[1:]])
    tracks = tracks_of(stretched(half_ellipse(), np.tile(1 - shortening[:, None], POINT_COUNT - 1)))
    strain = longitudinal_strain(tracks)
    assert strain.events.end_diastole_frames == (0, 40, 80, 120)
    assert strain.events.end_systole_frames == (16, 56, 96)
    np.testing.assert_allclose([cycle.gls_percent for cycle in strain.cycle_measures], [-18, -14, -18], atol=1e-6)
    second_cycle = longitudinal_strain(tracks, config=StrainConfig(cycle=1))
    assert second_cycle.measures.gls_percent == pytest.approx(-14)
    with pytest.raises(InputError, match="cycle 3 does not exist"):
        longitudinal_strain(tracks, config=StrainConfig(cycle=3))


def test_contour_order_and_subsets():
    """A contour given from the right, or hidden among other points, gives the same segments."""
    moved = stretched(half_ellipse(), regional(beat()))
    plain = longitudinal_strain(tracks_of(moved))
    turned = longitudinal_strain(tracks_of(moved[:, ::-1]))
    np.testing.assert_allclose(turned.segmental_percent, plain.segmental_percent, atol=1e-9)
    assert "reverse order" in turned.notes[0]
    as_given = longitudinal_strain(tracks_of(moved[:, ::-1]), config=StrainConfig(orientation="as given"))
    np.testing.assert_allclose(as_given.segmental_percent, plain.segmental_percent[:, ::-1], atol=1e-9)
    shuffled = np.random.default_rng(0).permutation(POINT_COUNT)
    labels = [f"P{index + 1}" for index in np.argsort(shuffled)]
    among = longitudinal_strain(tracks_of(moved[:, shuffled]), order=labels)
    np.testing.assert_allclose(among.segmental_percent, plain.segmental_percent, atol=1e-9)


def test_apex_splits_the_walls():
    """With the apex at point 16 the left wall's thirds are shorter than the right's."""
    points, activation = half_ellipse(), beat()
    stretch = np.ones((41, 48))
    stretch[:, :16] = 1 - 0.2 * activation[:, None]
    strain = longitudinal_strain(tracks_of(stretched(points, stretch)), apex_index=16)
    np.testing.assert_allclose(strain.segmental_percent[16], [-20, -20, -20, 0, 0, 0], atol=CHORDS)


def test_short_axis_ring():
    """A ring that narrows, thickens at constant area and twists."""
    activation = beat()
    inner0, outer0 = 40.0, 60.0
    inner = inner0 * (1 - 0.25 * activation)
    outer = np.sqrt(outer0**2 - inner0**2 + inner**2)
    twist = np.deg2rad(10) * activation

    def moved(radius):
        unit = (ring(48, 1.0) - 128)[None]
        turn = np.stack(
            [np.stack([np.cos(twist), np.sin(twist)], -1), np.stack([-np.sin(twist), np.cos(twist)], -1)], -2
        )
        return 128 + radius[:, None, None] * np.einsum("tnc,tcd->tnd", np.broadcast_to(unit, (41, 48, 2)), turn)

    tracks = tracks_of(np.concatenate([moved(inner), moved(outer)], axis=1))
    layered = layered_strain(tracks, {"endo": range(48), "epi": range(48, 96)}, view="SAX")
    assert layered.layers["endo"].kind == "circumferential"
    np.testing.assert_allclose(layered.layers["endo"].global_percent, -25 * activation, atol=1e-9)
    np.testing.assert_allclose(layered.layers["epi"].segmental_percent[:, 4], 100 * (outer / outer0 - 1), atol=1e-9)
    radial = layered.thickness
    expected = 100 * ((outer - inner) / (outer0 - inner0) - 1)
    assert (radial.kind, radial.view) == ("radial", "SAX-mid")
    np.testing.assert_allclose(radial.global_percent, expected, atol=1e-9)
    np.testing.assert_allclose(radial.segmental_percent, np.tile(expected[:, None], 6), atol=1e-9)
    assert radial.measures.peak_systolic_percent == pytest.approx(expected.max())
    np.testing.assert_allclose(radial.length_mm, 0.5 * (outer - inner))
    clockwise = circumferential_strain(tracks_of(moved(inner)[:, ::-1]), view="SAX-base")
    np.testing.assert_allclose(clockwise.global_percent, -25 * activation, atol=1e-9)
    assert "counter-clockwise" in clockwise.notes[0]
    with pytest.raises(InputError, match="short-axis view"):
        longitudinal_strain(tracks_of(moved(inner)), view="SAX")
    with pytest.raises(InputError, match="apical view"):
        circumferential_strain(tracks_of(moved(inner)), view="A4C")


def test_transverse_strain_does_not_see_layers_that_slide():
    activation = beat()
    points = half_ellipse()
    normal = np.gradient(points, axis=0)[:, ::-1] * [1, -1]
    normal /= np.hypot(*normal.T)[:, None]
    inner = np.broadcast_to(points, (41, *points.shape))
    outer = points + (10 + 4 * activation)[:, None, None] * normal
    tracks = tracks_of(np.concatenate([inner, outer], axis=1))
    events = CardiacEvents((0, 40), (16,))
    layers = {"endo": range(POINT_COUNT), "epi": range(POINT_COUNT, 2 * POINT_COUNT)}
    layered = layered_strain(tracks, layers, events=events)
    assert layered.thickness.kind == "transverse"
    np.testing.assert_allclose(layered.thickness.global_percent, 40 * activation, atol=0.1)
    line = np.stack([np.arange(10.0), np.zeros(10)], axis=1)
    np.testing.assert_allclose(wall_thickness(line, line + np.array([0, 3.0])), 3)
    np.testing.assert_allclose(wall_thickness(line, line + np.array([1.7, 3.0])), 3)
    backwards = {"endo": layers["endo"], "epi": list(layers["epi"])[::-1]}
    with pytest.raises(InputError, match="same order"):
        layered_strain(tracks, backwards, events=events, config=StrainConfig(orientation="as given"))
    with pytest.raises(InputError, match="equally many"):
        layered_strain(tracks, {"endo": range(49), "epi": range(49, 60)}, events=events)


def test_three_views_make_a_ventricle():
    views = {"A4C": -20.0, "A2C": -17.0, "APLAX": -14.0}
    walls = {view: stretched(half_ellipse(), regional(beat(), np.full(6, peak))) for view, peak in views.items()}
    results = [longitudinal_strain(tracks_of(wall), view=view) for view, wall in walls.items()]
    eighteen = ventricle_strain(results, 18)
    # basal and mid: anterior, anteroseptal, inferoseptal, inferior, inferolateral, anterolateral; the same at the apex
    np.testing.assert_allclose(eighteen.percent, np.tile([-17, -14, -20, -17, -14, -20], 3), atol=1e-6)
    seventeen = ventricle_strain(results, 17)
    np.testing.assert_allclose(seventeen.percent[12:], [-17, -17, -17, -17, -17], atol=1e-6)
    assert seventeen.names[13] == "apical septal"
    assert (seventeen.gls_percent, seventeen.gls_segment_mean_percent) == (pytest.approx(-17), pytest.approx(-17))
    sixteen = ventricle_strain(results[:2], 16)
    assert np.flatnonzero(np.isnan(sixteen.percent)).tolist() == [1, 4, 7, 10]
    assert sixteen.percent[13] == pytest.approx(-20)
    assert "APLAX" in sixteen.notes[0]
    assert ventricle_strain(results, 16, "time_to_peak_s").percent[0] == pytest.approx(0.32)
    for arguments in (([], 17), (results, 15), (results, 17, "beauty")):
        with pytest.raises(InputError):
            ventricle_strain(*arguments)


def test_smoothing_is_beside_the_raw_curves_and_keeps_true_strain():
    activation = beat()
    clean = stretched(half_ellipse(), regional(activation, np.full(6, -18.0)))
    noisy = clean + np.random.default_rng(1).normal(0, 0.3, clean.shape)
    noisy[0] = clean[0]
    events = CardiacEvents((0, 40), (16,))
    strain = longitudinal_strain(tracks_of(noisy), events=events)
    truth = -18 * activation[:, None]
    raw, smooth = (
        np.abs(part - truth).mean() for part in (strain.segmental_percent, strain.smoothed.segmental_percent)
    )
    assert smooth < 0.6 * raw
    exact = longitudinal_strain(tracks_of(clean), events=events)
    np.testing.assert_allclose(exact.smoothed.global_percent, exact.global_percent, atol=0.15)
    np.testing.assert_allclose(exact.smoothed.segmental_percent, exact.segmental_percent, atol=0.4)
    none = longitudinal_strain(
        tracks_of(noisy), events=events, config=StrainConfig(smoothing_wall_share=0, smoothing_time_s=0)
    )
    assert none.smoothed is None
    np.testing.assert_array_equal(none.global_percent, strain.global_percent)


def function_calls(work):
    """Calls of functions, of Python's and of compiled ones, while `work` runs."""
    calls = []
    gc.collect()
    gc.disable()  # what libraries do after a collection is not the work
    sys.setprofile(lambda _frame, event, _argument: calls.append(event) if event in ("call", "c_call") else None)
    try:
        work()
    finally:
        sys.setprofile(None)
        gc.enable()
    return len(calls)


def test_frames_and_points_are_measured_all_at_once():
    """A loop over frames or points would make strain slow: here more of them cost no more calls."""

    def calls(frame_count, point_count):
        activation = beat(frame_count, 2 * frame_count // 5)
        walls = np.tile(1 - 0.18 * activation[:, None], point_count - 1)
        times = np.linspace(0, 0.8, frame_count)  # one beat a clip: with another number of beats other notes are made
        tracks = tracks_of(stretched(half_ellipse(point_count), walls), times_s=times)
        longitudinal_strain(tracks)
        return function_calls(lambda: longitudinal_strain(tracks))

    few = calls(40, 50)
    assert calls(160, 50) == few
    assert calls(40, 150) < 1.2 * few


def test_events_can_be_edited():
    tracks = tracks_of(stretched(half_ellipse(), regional(beat(), np.full(6, -18.0))))
    found = longitudinal_strain(tracks).events
    edited = longitudinal_strain(tracks, events=replace(found, end_systole_frames=(12,), source="given"))
    assert edited.measures.gls_percent == pytest.approx(-18 * beat()[12])
