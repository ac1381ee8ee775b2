"""The phantoms: exact truth, speckle that obeys physics and follows the motion, graded difficulty."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from scipy import ndimage

from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.simulation import (
    DIFFICULTIES,
    Breathing,
    Contact,
    Degradation,
    HeartPhantom,
    Imaging,
    LiverPhantom,
    Sway,
    phantom_set,
    simulate_heart,
    simulate_liver,
)
from UltrasoundMotionLib.simulation.breathing_motion import BreathingMotion
from UltrasoundMotionLib.simulation.degradation import Clutter, Shadow, complex_normal
from UltrasoundMotionLib.simulation.heart import heart_motion, wall_contour
from UltrasoundMotionLib.simulation.motion import material_points, trajectories
from UltrasoundMotionLib.simulation.rendering import BeamLoss, render, visible_points
from UltrasoundMotionLib.simulation.scanner import Scanner
from UltrasoundMotionLib.simulation.scatterers import DecorrelatingSpeckle, Slice, scatter_positions

STILL = Sway(beat_mm=(0, 0), beat_deg=0, breath_mm=(0, 0))
CLEAN = Degradation(decorrelated_fraction=0, elevation_cyclic_mm=0, elevation_wander_mm=0, haze_db=-120, noise_db=-120)
INFARCT = (1.0, 0.1, 0.0, 1.0, 1.1, 0.9)


FEW = Imaging(scatterers_per_cell=1, image_size=(64, 64))  # where only the truth matters


@cache
def easy_heart():
    """The clip that several tests look at."""
    return simulate_heart(HeartPhantom(frame_count=20, degradation=CLEAN), seed=4)


def contour_lengths(tracks):
    """(T,) lengths of (T, N, 2) polylines."""
    return np.linalg.norm(np.diff(tracks, axis=1), axis=2).sum(axis=1)


# Truth


@pytest.mark.parametrize("scales", [(1.0,) * 6, INFARCT])
@pytest.mark.parametrize("strain", [-5.0, -18.0, -24.0])
def test_the_contours_length_has_the_configured_strain(strain, scales):
    phantom = HeartPhantom(
        global_longitudinal_strain_percent=max(strain, -20.0) if scales is INFARCT else strain, segment_scales=scales
    )
    motion = heart_motion(phantom)
    diastole, systole = 0.0, phantom.course.systole * phantom.course.period_s
    tracks = trajectories(motion, wall_contour(motion, "mid", 1201), np.array([diastole, systole]))
    length = contour_lengths(tracks)
    assert 100 * (length[1] / length[0] - 1) == pytest.approx(phantom.global_longitudinal_strain_percent, abs=0.01)
    segments = [contour_lengths(tracks[:, 200 * index : 200 * index + 201]) for index in range(6)]
    measured = np.array([segment[1] / segment[0] - 1 for segment in segments])
    expected = motion.ventricle.segment_strain(np.array([phantom.global_longitudinal_strain_percent / 100]))[0]
    np.testing.assert_allclose(measured, expected, atol=2e-4)
    ratio = expected / expected.mean()
    np.testing.assert_allclose(ratio, np.array(scales) / np.mean(scales), atol=0.16)  # soft borders between segments


def test_tracks_of_the_clip_give_the_stated_strain_curve():
    simulated = simulate_heart(HeartPhantom(frame_count=50, imaging=FEW), seed=2)
    index = [simulated.truth.labels.index(label) for label in simulated.groups["mid"]]
    length = contour_lengths(simulated.truth.positions_px[:, index])
    np.testing.assert_allclose(length / length[0] - 1, simulated.strain.global_longitudinal, atol=1e-3)
    assert simulated.strain.end_systole_frames == (int(np.argmin(simulated.strain.global_longitudinal)),)
    assert simulated.strain.end_diastole_frames == (0, 45)


def test_the_wall_keeps_its_volume_and_thickens():
    phantom = HeartPhantom()
    motion = heart_motion(phantom)
    systole = phantom.course.systole * phantom.course.period_s
    volumes, thicknesses = [], []
    for time in (0.0, systole):
        # The right half of the wall as a polygon: out along the endocardium, back along the epicardium; turned about
        # the axis (Pappus by shells).
        ventricle, state = motion.ventricle, motion.state(time)
        angles = np.linspace(0, ventricle.base, 3000)
        inner, outer = ventricle.endo + 1e-9, ventricle.epi - 1e-9
        halves = [ventricle.carry(ventricle.ellipse(np.full(3000, radius), angles))(state) for radius in (inner, outer)]
        base = ventricle.carry(
            ventricle.ellipse(np.linspace(ventricle.endo, ventricle.epi, 200), np.full(200, ventricle.base))
        )(state)
        outline = np.concatenate([halves[0], base, halves[1][::-1]])
        following = np.roll(outline, -1, axis=0)
        cross = outline[:, 0] * following[:, 1] - following[:, 0] * outline[:, 1]
        volumes.append(abs(np.pi / 3 * np.sum((outline[:, 0] + following[:, 0]) * cross)))
        thicknesses.append(np.linalg.norm(halves[0][1500] - halves[1][1500]))
    assert volumes[1] == pytest.approx(volumes[0], rel=2e-3)
    assert 1.25 < thicknesses[1] / thicknesses[0] < 1.7


def test_motion_is_periodic_up_to_the_configured_drift():
    phantom = HeartPhantom(sway=replace(STILL, drift_mm_per_s=(1.5, -0.5), beat_mm=(1, 1), beat_deg=2))
    motion = heart_motion(phantom)
    contour = wall_contour(motion, "endo", 31)
    period = phantom.course.period_s
    tracks = trajectories(motion, contour, np.array([0.13, 0.13 + 3 * period]))
    np.testing.assert_allclose(
        tracks[1] - tracks[0], np.tile([1.5 * 3 * period, -0.5 * 3 * period], (31, 1)), atol=1e-9
    )


@pytest.mark.parametrize("kind", ["heart", "liver"])
def test_the_inverse_map_finds_the_material_everywhere(kind):
    case = phantom_set(kind, "hard", 1, seed=3)[0]
    imaging = case.phantom.imaging
    points = imaging.pixel_grid_mm()[::6, ::6].reshape(-1, 2)
    points = points[imaging.in_sector(points)]
    if kind == "heart":
        motion = heart_motion(case.phantom)
    else:
        motion = BreathingMotion(
            case.phantom.breathing, imaging, 3.0, np.random.default_rng(0), wall_mm=15, elevation=(1, 1)
        )
    material = material_points(motion, points, 0.31)
    np.testing.assert_allclose(motion.carry(material)(0.31), points, atol=1e-6)


@pytest.mark.slow
def test_displacement_of_any_points_agrees_with_the_tracks():
    simulated = easy_heart()
    positions = simulated.truth.positions_px
    for reference, frame in ((0, 16), (16, 3)):
        moved = simulated.displacement_px(frame, positions[reference], reference_frame=reference)
        np.testing.assert_allclose(positions[reference] + moved, positions[frame], atol=1e-5)
    from_es = simulated.truth_from(16)
    assert from_es.query_frame == 16
    assert np.all(from_es.visible[16])
    np.testing.assert_allclose(simulated.trajectories_px(from_es.positions_px[16], 16), from_es.positions_px, atol=1e-5)
    middle = [simulated.truth.labels.index(label) for label in simulated.groups["mid"]][2:-2]
    x, y = np.rint(positions[0, middle]).astype(int).T
    assert np.all(simulated.tissue_mask[y, x])


def test_breaths_have_the_configured_size_and_direction():
    breathing = Breathing(
        amplitude_mm=10, period_s=4, direction_deg=0, irregularity=0, hysteresis=0.2, deformation=0, heartbeat_mm=0
    )
    imaging = LiverPhantom().imaging
    motion = BreathingMotion(breathing, imaging, 8.0, np.random.default_rng(0), wall_mm=15, elevation=(0, 0))
    places = np.array([[0.0, 5.0], [10.0, 80.0]])  # in the body wall, in the liver
    exhaled, half_in, inhaled, half_out = trajectories(motion, places, np.array([4.0, 5.0, 6.0, 7.0]))
    np.testing.assert_allclose(inhaled - exhaled, [[0, 0], [10, 0]], atol=1e-9)
    np.testing.assert_allclose(
        half_in[1] - half_out[1], [0, 2 * half_in[1, 1] - 160], atol=1e-9
    )  # the way out lies beside the way in
    assert abs(half_in[1, 1] - half_out[1, 1]) > 1.0


# Physics


def speckle(imaging, shift_mm=(0.0, 0.0), seed=0):
    """(R, B) complex echo of uniform tissue, moved by `shift_mm`, and the scanner."""
    rng = np.random.default_rng(seed)
    scanner = Scanner(imaging)
    places, amplitudes = scatter_positions(imaging, scanner, 6.0, rng)
    beam_slice = Slice(imaging.slice_thickness_mm)
    weight = beam_slice.weight(beam_slice.draw(len(places), rng))
    unchanging = DecorrelatingSpeckle(np.zeros(len(places)), np.ones(len(places)), 0.02, rng)
    strength = (amplitudes * weight * unchanging.next()).astype(np.complex64)
    return scanner.receive(scanner.focus(scanner.place(places + shift_mm, strength))[0]), scanner


def test_speckle_is_fully_developed_and_of_unit_power():
    echo, scanner = speckle(Imaging(looks=1, side_lobe_db=-120))
    sector = np.abs(echo[(scanner.depths_mm > 35) & (scanner.depths_mm < 145)][:, np.abs(scanner.angles) < 0.55])
    assert np.mean(sector) / np.std(sector) == pytest.approx(
        1.913, abs=0.09
    )  # Rayleigh; 1600 cells leave 0.05 of chance
    assert np.mean(sector**4) / np.mean(sector**2) ** 2 == pytest.approx(2.0, abs=0.2)
    assert np.mean(sector**2) == pytest.approx(1.0, abs=0.12)


def test_lateral_correlation_follows_the_beam_width():
    imaging = Imaging(looks=1, side_lobe_db=-120, defocus=1.5)
    echo, scanner = speckle(imaging)
    inner = np.abs(scanner.angles) < 0.6
    widths = []
    for depth in (30.0, 75.0, 140.0):
        rows = echo[np.abs(scanner.depths_mm - depth) < 8][:, inner]
        lags = np.arange(20)
        correlation = np.array([abs(np.vdot(rows[:, : rows.shape[1] - lag], rows[:, lag:])) for lag in lags])
        correlation /= correlation[0] * (rows.shape[1] - lags) / rows.shape[1]
        full_width = 2 * np.interp(-0.5, -correlation, lags) * scanner.angle_step * (depth + imaging.probe_radius_mm)
        widths.append(full_width)
        assert full_width == pytest.approx(
            np.sqrt(2) * imaging.beam_width_mm(np.array(depth)), rel=0.2
        )  # a Gaussian's correlation is sqrt(2) wider
    in_beams = np.array(widths) / (np.array([30.0, 75.0, 140.0]) + imaging.probe_radius_mm)
    assert in_beams[0] > 1.2 * in_beams[1]
    assert in_beams[2] > 1.2 * in_beams[1]


def sub_pixel_shift(fixed, moving, centre, radius=10, search=6):
    """(x, y) by normalised cross-correlation of a block and a parabola through its peak: a tracker written for this
    test alone.
    """
    x, y = centre
    block = fixed[y - radius : y + radius + 1, x - radius : x + radius + 1].astype(float)
    block = block - block.mean()
    score = np.empty((2 * search + 1,) * 2)
    for j in range(-search, search + 1):
        for i in range(-search, search + 1):
            other = moving[y + j - radius : y + j + radius + 1, x + i - radius : x + i + radius + 1].astype(float)
            other = other - other.mean()
            score[j + search, i + search] = np.sum(block * other) / np.sqrt(np.sum(block**2) * np.sum(other**2))
    j, i = np.unravel_index(np.argmax(score[1:-1, 1:-1]), (2 * search - 1,) * 2)

    def top(before, at, after):
        return (before - after) / (2 * (before - 2 * at + after))

    j, i = j + 1, i + 1
    return np.array([i - search + top(*score[j, i - 1 : i + 2]), j - search + top(*score[j - 1 : j + 2, i])])


def test_speckle_moves_as_far_as_the_scatterers():
    imaging = Imaging(looks=1)
    shift_px = np.array([1.3, -0.8])
    frames = []
    for shift in (np.zeros(2), shift_px * imaging.spacing_mm):
        echo, scanner = speckle(imaging, shift)
        frames.append(scanner.display(scanner.decibels([echo])))
    measured = [sub_pixel_shift(*frames, (x, y)) for x in (105, 127, 150) for y in (110, 140, 170)]
    np.testing.assert_allclose(np.median(measured, axis=0), shift_px, atol=0.1)
    assert np.max(np.abs(measured - shift_px)) < 0.4


def test_the_beating_wall_is_where_the_truth_says():
    simulated = easy_heart()
    frames, positions = simulated.sequence.frames, simulated.truth.positions_px
    middle = [simulated.truth.labels.index(label) for label in simulated.groups["mid"]][4:-4:4]
    errors = [
        sub_pixel_shift(frames[4], frames[6], np.rint(positions[4, index]).astype(int), radius=8)
        - (positions[6, index] - positions[4, index])
        for index in middle
    ]
    assert np.median(np.abs(errors)) < 0.2


def test_vessels_are_dark_at_their_truth_through_the_breath():
    phantom = LiverPhantom(frame_count=3, degradation=CLEAN, contact=Contact(0, 0.9, 0))
    simulated = simulate_liver(replace(phantom, imaging=replace(phantom.imaging, frame_rate_hz=1.0)), seed=6)
    assert np.ptp(simulated.truth.positions_px[:, 0], axis=0).max() > 5
    for frame in range(3):
        x, y = simulated.truth.positions_px[frame].T
        grey = ndimage.map_coordinates(simulated.sequence.frames[frame].astype(float), [y, x], order=1)
        vessel = np.array([label.startswith("vessel") for label in simulated.truth.labels])
        parenchyma = np.array([label.startswith("parenchyma") for label in simulated.truth.labels])
        assert grey[vessel].max() < np.median(grey[parenchyma]) - 20


# Degradation


@pytest.mark.slow
def test_difficulties_are_graded_in_measured_correlation():
    correlations = []
    for degradation in DIFFICULTIES.values():
        # Two frames, end-diastole and end-systole.
        phantom = HeartPhantom(
            frame_count=2,
            degradation=replace(degradation, shadow_count=0),
            contact=Contact(0, 0.9, 0),
            imaging=Imaging(frame_rate_hz=1 / 0.324),
        )
        simulated = simulate_heart(phantom, seed=5)
        frames, positions = simulated.sequence.frames.astype(float), simulated.truth.positions_px
        offsets = np.stack(np.meshgrid(np.arange(-4, 5), np.arange(-4, 5)), axis=-1).reshape(-1, 2)
        blocks = []
        for frame in (0, 1):
            x, y = (positions[frame, :, None] + offsets).reshape(-1, 2).T
            block = ndimage.map_coordinates(frames[frame], [y, x], order=1).reshape(-1, len(offsets))
            blocks.append((block - block.mean(axis=1, keepdims=True)) / block.std(axis=1, keepdims=True))
        correlations.append(np.mean(blocks[0] * blocks[1]))
    assert np.all(np.diff(correlations) < -0.005), correlations
    assert correlations[-1] < correlations[0] - 0.08


def test_a_shadow_darkens_and_hides():
    imaging = Imaging(image_size=(128, 128), looks=1)
    scanner = Scanner(imaging)
    rng = np.random.default_rng(1)
    places, amplitudes = scatter_positions(imaging, scanner, 4.0, rng)
    strength = (amplitudes * complex_normal(len(places), rng)).astype(np.complex64)
    shadow = Shadow(angle=0.2, half_width=0.1, edge=0.01, start_mm=10, attenuation_db=20)
    loss = BeamLoss(scanner, Contact(unevenness_db=0, edge_db=0), [shadow], rng)
    clutter = Clutter(scanner, CLEAN, rng)
    frame = render(
        scanner, [lambda time: (places, strength)], loss, clutter, times_s=np.zeros(1), progress=lambda *_: None
    )[0]
    points = imaging.mm_from_polar(np.array([80.0, 80.0, 5.0, 170.0]), np.array([0.2, -0.2, 0.2, 0.0]))
    assert visible_points(imaging, loss, points[None], np.zeros(1))[0].tolist() == [False, True, True, False]
    grey = [
        frame[y - 4 : y + 5, x - 4 : x + 5].mean() for x, y in np.rint(imaging.pixels_from_mm(points[:2])).astype(int)
    ]
    assert grey[1] - grey[0] > 50


def test_shadows_pass_over_the_truth_points():
    case = phantom_set("liver", "extreme", 1, seed=2, frame_count=8, image_size=(64, 64))[0]
    visible = case.simulate().truth.visible
    assert 0.2 < visible.mean() < 0.98


# Sets, seeds and bad input


@pytest.mark.slow
def test_the_seed_decides_everything():
    phantom = HeartPhantom(frame_count=2, imaging=Imaging(image_size=(96, 96)), degradation=DIFFICULTIES["hard"])
    first, again, other = (simulate_heart(phantom, seed=seed).sequence.frames for seed in (7, 7, 8))
    np.testing.assert_array_equal(first, again)
    assert np.mean(first != other) > 0.2


@pytest.mark.parametrize("kind", ["heart", "liver"])
def test_sets_are_reproducible_and_varied(kind):
    small, large = phantom_set(kind, "moderate", 3, seed=1), phantom_set(kind, "moderate", 12, seed=1)
    assert small == large[:3]
    assert not set(large) & set(phantom_set(kind, "moderate", 12, seed=2))
    assert len({case.phantom.imaging.depth_mm for case in large}) == 12
    if kind == "heart":
        strains = [case.phantom.global_longitudinal_strain_percent for case in large]
        assert -25 <= min(strains) < -15 < max(strains) <= -5
        for case in phantom_set(kind, "hard", 40, seed=9):
            heart_motion(case.phantom)  # raises if a wall closed its cavity


def test_progress_counts_frames_and_cancels():
    calls = []

    def stop(done, total, message):
        calls.append((done, total))
        if done == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        simulate_heart(HeartPhantom(frame_count=5, imaging=FEW), progress=stop)
    assert calls == [(1, 5), (2, 5)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HeartPhantom(frame_count=0), "frame_count"),
        (lambda: heart_motion(HeartPhantom(global_longitudinal_strain_percent=-40)), "-40"),
        (lambda: heart_motion(HeartPhantom(segment_scales=(1, 1))), "segment_scales"),
        (lambda: Imaging(depth_mm=float("nan")), "depth_mm"),
        (lambda: Imaging(image_size=(0, 256)), "image_size"),
        (lambda: Degradation(decorrelated_fraction=2), "decorrelated_fraction"),
        (lambda: Breathing(period_s=0), "period_s"),
        (lambda: phantom_set("kidney", "easy", 1, 0), "kidney"),
        (lambda: phantom_set("heart", "impossible", 1, 0), "impossible"),
        (lambda: easy_heart().displacement_px(99, np.zeros((1, 2))), "99"),
    ],
)
def test_bad_configurations_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
