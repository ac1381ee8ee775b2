"""Gaps, rejected segments and the uncertainty of global strain."""

import numpy as np
import pytest

from strain_motions import POINT_COUNT, beat, half_ellipse, ring, stretched, tracks_of
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.strain import CardiacEvents, StrainConfig, circumferential_strain, longitudinal_strain
from UltrasoundMotionLib.strain.strain_curves import lengths_along

PEAKS = np.array([-15.0, -18.0, -21.0, -21.0, -18.0, -15.0])
EVENTS = CardiacEvents((0, 40), (16,))


def wall() -> np.ndarray:
    return stretched(half_ellipse(), 1 + beat()[:, None] * np.repeat(PEAKS, 8) / 100)


def with_missing(missing: np.ndarray, as_nan: bool = False, **changes):
    """Tracks whose missing points jump far away, and are either not visible or not finite there."""
    positions = np.where(missing[..., None], np.nan if as_nan else 5.0, wall())
    return tracks_of(positions, visible=~missing, **changes)


@pytest.mark.parametrize("as_nan", [False, True])
def test_short_gaps_are_bridged(as_nan):
    """Five frames at end-systole, one point alone, one beside another, one at the contour's end."""
    missing = np.zeros((41, POINT_COUNT), dtype=bool)
    missing[14:19, [10, 30, 31, 48]] = True
    strain = longitudinal_strain(with_missing(missing, as_nan), events=EVENTS)
    exact = longitudinal_strain(tracks_of(wall()), events=EVENTS)
    assert all(segment.accepted and segment.lost_share == 0 for segment in strain.quality)
    np.testing.assert_allclose(strain.segmental_percent, exact.segmental_percent, atol=0.5)
    np.testing.assert_allclose(strain.measures.gls_percent, exact.measures.gls_percent, atol=0.1)
    np.testing.assert_array_equal(strain.positions_px[~missing], wall()[~missing])


def test_a_segment_lost_for_long_is_rejected_and_the_limit_is_a_choice():
    missing = np.zeros((41, POINT_COUNT), dtype=bool)
    missing[10:20, 17:24] = True  # 0.2 s in the left apical segment
    strain = longitudinal_strain(with_missing(missing), events=EVENTS)
    assert [segment.accepted for segment in strain.quality] == [True, True, False, True, True, True]
    assert "lost for longer than the gap limit" in strain.quality[2].reason
    assert np.isnan(strain.segmental_percent[:, 2]).all()
    assert strain.segment_measures[2].end_systolic_percent is None
    assert strain.measures.gls_percent == pytest.approx(PEAKS[[0, 1, 3, 4, 5]].mean(), abs=0.1)
    assert strain.measures.gls_segment_mean_percent == pytest.approx(PEAKS[[0, 1, 3, 4, 5]].mean(), abs=0.1)
    spread = np.std(PEAKS[[0, 1, 3, 4, 5]], ddof=1) / np.sqrt(30)
    assert strain.uncertainty.rejected_part_percent == pytest.approx(spread, abs=0.05)
    assert any("apical septal" in note for note in strain.notes)
    longer = longitudinal_strain(with_missing(missing), events=EVENTS, config=StrainConfig(maximum_gap_s=0.25))
    assert longer.quality[2].accepted
    unknown_times = with_missing(missing, times_s=np.array([]))
    assert not longitudinal_strain(unknown_times, events=EVENTS).quality[2].accepted
    assert (
        longitudinal_strain(unknown_times, events=EVENTS, config=StrainConfig(maximum_gap_frames=10))
        .quality[2]
        .accepted
    )


def test_a_gap_without_an_end_is_no_gap_to_bridge():
    missing = np.zeros((41, POINT_COUNT), dtype=bool)
    missing[38:, 0:5] = True
    assert not longitudinal_strain(with_missing(missing), events=EVENTS).quality[0].accepted


def test_a_gap_around_the_ring_is_bridged_from_both_sides():
    positions = 128 + (ring() - 128) * (1 - 0.2 * beat())[:, None, None]
    missing = np.zeros((41, 48), dtype=bool)
    missing[14:18, [0, 47]] = True
    strain = circumferential_strain(
        tracks_of(np.where(missing[..., None], 0, positions), visible=~missing), events=EVENTS
    )
    np.testing.assert_allclose(strain.global_percent, -20 * beat(), atol=0.05)


def test_a_wall_that_was_not_tracked_gives_no_number():
    missing = np.zeros((41, POINT_COUNT), dtype=bool)
    missing[5:30, :24] = True
    strain = longitudinal_strain(with_missing(missing), events=EVENTS)
    assert strain.measures.gls_percent is None
    assert strain.measures.gls_segment_mean_percent is None
    assert strain.uncertainty is None
    assert np.isnan(strain.global_percent).all()
    assert strain.smoothed.measures.gls_percent is None
    assert strain.segment_measures[5].end_systolic_percent == pytest.approx(-15, abs=0.05)
    assert any("no global strain" in note for note in strain.notes)
    wander = np.cumsum(np.random.default_rng(0).normal(0, 4, (41, POINT_COUNT, 2)), axis=0)
    wander -= wander[:1]
    lost = longitudinal_strain(tracks_of(half_ellipse() + wander), events=EVENTS)
    assert lost.measures.gls_percent is None
    assert not any(segment.accepted for segment in lost.quality)
    unknown = longitudinal_strain(
        tracks_of(np.where(np.arange(41)[:, None, None] // 10 == 1, np.nan, wall())), events=EVENTS
    )
    assert unknown.measures.gls_percent is None
    with pytest.raises(InputError, match="frame 30 was not tracked"):
        longitudinal_strain(tracks_of(np.where(np.arange(41)[:, None, None] >= 30, np.nan, wall())), events=EVENTS)


def test_a_frame_without_any_point_is_bridged_in_time():
    strain = longitudinal_strain(
        with_missing(np.tile(np.arange(41)[:, None] == 10, POINT_COUNT), as_nan=True), events=EVENTS
    )
    exact = longitudinal_strain(tracks_of(wall()), events=EVENTS)
    np.testing.assert_allclose(strain.global_percent, exact.global_percent, atol=0.2)
    assert all(segment.accepted for segment in strain.quality)


def test_a_cancelled_run_is_measured_as_far_as_it_went():
    twice = np.concatenate([wall(), wall()[1:]])
    twice[70:] = np.nan
    strain = longitudinal_strain(tracks_of(twice, visible=np.isfinite(twice[..., 0])))
    assert strain.events.end_systole_frames == (16, 56)
    assert (strain.cycle.last_frame, strain.cycle.complete) == (40, True)
    assert strain.measures.gls_percent == pytest.approx(PEAKS.mean(), abs=0.05)
    assert np.flatnonzero(np.isnan(strain.global_percent)).tolist() == list(range(70, 81))
    second = longitudinal_strain(tracks_of(twice, visible=np.isfinite(twice[..., 0])), config=StrainConfig(cycle=1))
    assert (second.cycle.last_frame, second.cycle.complete) == (69, False)


def test_reasons_for_rejection():
    rng = np.random.default_rng(3)
    rough = wall()
    rough[1:, 9:16] += rng.normal(0, 3, (40, 7, 2))
    confidence = np.ones((41, POINT_COUNT))
    confidence[1:, 33:40] = 0.2
    drifting = np.repeat(PEAKS, 8) / 100 * beat()[:, None]
    drifting[:, 40:] += np.linspace(0, 0.25, 41)[:, None]
    back = np.zeros(POINT_COUNT)
    back[:8] = 9.0
    collapsing = wall()
    collapsing[20:24, 4] = collapsing[20:24, 3]
    results = (
        (0, "two of its points collapse", longitudinal_strain(tracks_of(collapsing), events=EVENTS)),
        (1, "unlike their neighbours", longitudinal_strain(tracks_of(rough), events=EVENTS)),
        (4, "below 0.5", longitudinal_strain(tracks_of(wall(), confidence=confidence), events=EVENTS)),
        (
            5,
            "25.0 percent at the next end-diastole",
            longitudinal_strain(tracks_of(stretched(half_ellipse(), 1 + drifting)), events=EVENTS),
        ),
        (
            0,
            "forward-backward error is 9.0 px",
            longitudinal_strain(tracks_of(wall()), events=EVENTS, forward_backward_px=back),
        ),
    )
    for index, reason, strain in results:
        assert [segment.accepted for segment in strain.quality] == [number != index for number in range(6)]
        assert reason in strain.quality[index].reason
    assert results[4][2].quality[1].forward_backward_px == 0
    with pytest.raises(InputError, match="one value for each of 49 points"):
        longitudinal_strain(tracks_of(wall()), events=EVENTS, forward_backward_px=back[:5])


def test_times_and_spacing_that_cannot_be():
    for changes, message in (
        ({"times_s": np.zeros(41)}, "strictly increasing"),
        ({"spacing_mm": (0.5, 0.0)}, "spacing must be two positive"),
    ):
        with pytest.raises(InputError, match=message):
            longitudinal_strain(tracks_of(wall(), **changes))
    for order, message in ((["P1", "P99"], "there is no point P99"), ([0, 1, 2, 2, 3, 4], "named twice")):
        with pytest.raises(InputError, match=message):
            longitudinal_strain(tracks_of(wall()), order=order)


def test_the_reader_overrules():
    missing = np.zeros((41, POINT_COUNT), dtype=bool)
    missing[10:20, 17:24] = True
    config = StrainConfig(accept_segments=("apical septal",), reject_segments=("mid anterolateral",))
    strain = longitudinal_strain(with_missing(missing), events=EVENTS, config=config)
    assert [segment.accepted for segment in strain.quality] == [True, True, True, True, False, True]
    assert strain.quality[2].reason.startswith("accepted by the reader although")
    assert strain.quality[4].reason == "rejected by the reader"
    with pytest.raises(InputError, match="there is no segment tricuspid"):
        longitudinal_strain(tracks_of(wall()), config=StrainConfig(reject_segments=("tricuspid",)))


def test_roughness_is_the_strain_error_that_independent_errors_make():
    """Of 400 noisy walls: the segments' strain errors have the standard deviation that roughness says."""
    rng, sigma = np.random.default_rng(0), 0.8
    errors = []
    clean = wall()
    shares = np.repeat(np.eye(6), 8, axis=0)
    reference = lengths_along(clean[:1], shares, closed=False).pieces @ shares
    for _ in range(400):
        noisy = clean[16:17] + rng.normal(0, sigma, (1, POINT_COUNT, 2))
        errors.append(100 * ((lengths_along(noisy, shares, closed=False).pieces @ shares) / reference - 1)[0] - PEAKS)
    noisy = clean + rng.normal(0, sigma, clean.shape)
    noisy[0] = clean[0]
    strain = longitudinal_strain(tracks_of(noisy), events=EVENTS)
    measured = np.mean([segment.roughness_percent for segment in strain.quality])
    assert measured == pytest.approx(np.std(errors, axis=0).mean(), rel=0.15)


def test_the_bootstrap_knows_independent_errors():
    """Roughness alone (no drift, nothing common): the spread it states is that of repeated tracking, within a factor of
    1.5.
    """
    rng = np.random.default_rng(5)
    config = StrainConfig(common_error_percent=0, common_error_share=0, maximum_roughness_percent=100)
    clean, found, stated = wall(), [], []
    for _ in range(60):
        noisy = clean + rng.normal(0, 0.8, clean.shape)
        noisy[[0, 40]] = clean[[0, 40]]
        strain = longitudinal_strain(tracks_of(noisy), events=EVENTS, config=config)
        found.append(strain.measures.gls_percent)
        stated.append(strain.uncertainty.standard_deviation_percent)
    assert np.std(found) / 1.5 < np.mean(stated) < 1.5 * np.std(found)


def test_uncertainty_holds_the_agreement_of_trackers_and_half_the_drift():
    tracks = tracks_of(wall())
    alone = longitudinal_strain(tracks, events=EVENTS).uncertainty
    several = longitudinal_strain(tracks, events=EVENTS, trackers={"one": -18.0, "other": -10.0}).uncertainty
    assert several.standard_deviation_percent == pytest.approx(8 / np.sqrt(2))
    assert alone.standard_deviation_percent < several.standard_deviation_percent
    assert several.trackers_percent == (("one", -18.0), ("other", -10.0))
    assert "agreement of trackers" in several.method
    drifting = 1 + np.repeat(PEAKS, 8) / 100 * beat()[:, None] + np.linspace(0, 0.06, 41)[:, None]
    drifted = longitudinal_strain(tracks_of(stretched(half_ellipse(), drifting)), events=EVENTS).uncertainty
    assert drifted.drift_part_percent == pytest.approx(3.0)
    assert drifted.standard_deviation_percent > 3


@pytest.mark.parametrize(
    "name", ["maximum_lost_share", "smoothing_wall_share", "bootstrap_replicates", "maximum_gap_s"]
)
def test_configuration_is_checked(name):
    with pytest.raises(InputError, match=f"{name} must lie between"):
        StrainConfig(**{name: -1})
