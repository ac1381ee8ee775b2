"""The second evaluation source: its probe against physics, its truth against OpenCV's trackers, and its benchmark."""

import json
from dataclasses import replace

import numpy as np
import pytest

from track_samples import run_verb
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.image_sequence import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.command import weights_of
from UltrasoundMotionLib.lab.benchmarks.peers import available_peers, find_peer
from UltrasoundMotionLib.lab.benchmarks.second_source.clips import RoundTripClip, labelled_cases
from UltrasoundMotionLib.lab.benchmarks.second_source.hand_labels import read_hand_labels
from UltrasoundMotionLib.lab.benchmarks.second_source.rows import ClipRow, measure_round_trip
from UltrasoundMotionLib.lab.benchmarks.second_source.tables import (
    BEST_PEER,
    detail_result,
    group_rows,
    summary_result,
)
from UltrasoundMotionLib.lab.benchmarks.strain.cases import given_on
from UltrasoundMotionLib.lab.benchmarks.swaying_speckle import SwayingSpeckle
from UltrasoundMotionLib.lab.benchmarks.trackers import benchmark_trackers
from UltrasoundMotionLib.lab.cli import benchmark
from UltrasoundMotionLib.lab.phantom_cases import choose_points
from UltrasoundMotionLib.lab.second_source import cases as second_source
from UltrasoundMotionLib.lab.second_source import echo
from UltrasoundMotionLib.lab.second_source.clip import ProbeImage, make_clip, passed_amplitude
from UltrasoundMotionLib.lab.second_source.console import Console, Screen
from UltrasoundMotionLib.lab.second_source.echo import contraction_at, draw_echo_scene
from UltrasoundMotionLib.lab.second_source.liver import draw_liver_scene
from UltrasoundMotionLib.lab.second_source.obstacles import NO_OBSTACLES, Obstacle, Obstacles
from UltrasoundMotionLib.lab.second_source.probe import SOUND_SPEED_MM_US, Probe
from UltrasoundMotionLib.lab.second_source.pymust_image import PymustImage
from UltrasoundMotionLib.strain import longitudinal_strain

SMALL = Probe(element_count=24, pitch_mm=0.6, depth_mm=90.0, line_count=72, sample_count=260)


def envelope(probe, points, amplitudes, obstacles=NO_OBSTACLES):
    echoes = probe.echoes(np.asarray(points, float), np.asarray(amplitudes, float), obstacles)
    return np.abs(probe.beamform(echoes))


@pytest.mark.parametrize("depth", [35.0, 70.0])
def test_a_point_is_shown_where_it_is_and_as_wide_as_diffraction_says(depth):
    """A uniform aperture D at range z and wavelength l shows a point with a two-way width near 0.9 l z / D (-6 dB)."""
    probe = replace(SMALL, window_power=0.0, f_number=0.5, attenuation=0.0, wave_count=1)
    shown = envelope(probe, [[4.0, depth]], [1.0])
    line, sample = np.unravel_index(shown.argmax(), shown.shape)
    angle, distance = probe.polar(np.array([4.0, depth]))
    assert probe.line_angles[line] == pytest.approx(angle, abs=probe.line_angles[1] - probe.line_angles[0])
    assert probe.ranges_mm[sample] == pytest.approx(distance, abs=0.4)
    fine = replace(probe, half_angle=0.15, line_count=241, element_count=24)
    across = envelope(fine, [[0.0, depth]], [1.0]).max(axis=1)
    width = np.sum(across > across.max() / 2) * (fine.line_angles[1] - fine.line_angles[0]) * depth
    wavelength = SOUND_SPEED_MM_US / fine.frequency_mhz
    expected = 1.21 * wavelength * depth / (fine.element_count * fine.pitch_mm)  # one diverging wave: one-way, sinc
    assert width == pytest.approx(expected, rel=0.3)


def test_uniform_tissue_has_rayleigh_speckle():
    """Fully developed speckle has a mean of 1.91 standard deviations before compression (Burckhardt 1978)."""
    rng = np.random.default_rng(3)
    count = 40_000
    angle, distance = rng.uniform(-0.6, 0.6, count), 92 * np.sqrt(rng.uniform(0, 1, count))
    points = np.stack([np.sin(angle) * distance, np.cos(angle) * distance], axis=1)
    probe = replace(SMALL, half_angle=0.55, attenuation=0.0)
    shown = envelope(probe, points, rng.normal(size=count))[12:-12, 120:240]
    shown = shown / shown.mean(axis=0)
    assert shown.mean() / shown.std() == pytest.approx(1.91, abs=0.12)


def test_attenuation_lowers_the_frequency_with_depth():
    probe = replace(SMALL, wave_count=1)
    found = []
    for depth in (20.0, 80.0):
        echo = probe.echoes(np.array([[0.0, depth]]), np.ones(1))[0, 12]
        peak = int(np.abs(echo).argmax())
        turn = np.angle(echo[peak + 1 : peak + 4] * np.conj(echo[peak : peak + 3])).mean()
        found.append(turn * probe.sampling_mhz / (2 * np.pi))
    assert found[0] < 0 < found[0] - found[1] < 0.6


def test_the_second_harmonic_suppresses_what_lies_near():
    near = [[0.0, 8.0]], [1.0]
    far = [[0.0, 60.0]], [1.0]
    ratios = []
    for harmonic in (False, True):
        probe = replace(SMALL, harmonic=harmonic)
        ratios.append(envelope(probe, *near).max() / envelope(probe, *far).max())
    assert ratios[1] < 0.6 * ratios[0]


def test_a_rib_shades_what_lies_behind_it_only():
    rib = Obstacles((Obstacle(10.0, -20.0, 2.5, 0.05),))
    points = np.array([[-20.0, 50.0], [30.0, 50.0], [-8.0, 8.0]])
    passed = rib.passed(points, np.zeros(2))
    assert passed[0] == pytest.approx(0.05, abs=0.01)
    assert passed[1] == passed[2] == 1
    shaded, free = (envelope(SMALL, points[:1], [1.0], each).max() for each in (rib, NO_OBSTACLES))
    assert shaded == pytest.approx(0.05**2 * free, rel=0.2)


@pytest.mark.parametrize("scene", ["echo", "liver"])
@pytest.mark.slow
def test_truth_agrees_with_trackers_of_opencv_on_a_clean_clip(scene):
    pytest.importorskip("cv2")
    rng = np.random.default_rng(5)
    drawn = draw_echo_scene(rng, False, 9)[0] if scene == "echo" else draw_liver_scene(rng, False, 9)
    drawn = replace(
        drawn,
        haze=replace(drawn.haze, points_mm=drawn.haze.points_mm[:1], strength=np.zeros(1)),
        renewed_share=0.0,
        tissue=replace(
            drawn.tissue,
            **{name: getattr(drawn.tissue, name)[::2] for name in ("points_mm", "across_mm", "strength", "flow")},
        ),
    )
    probe = Probe(element_count=24, pitch_mm=0.6, depth_mm=140.0, half_angle=0.7, line_count=96, sample_count=360)
    clip = make_clip(
        drawn, probe, Console(jpeg_quality=None, persistence=0.0), scene, rng, image=ProbeImage(probe, -40)
    )
    truth = choose_points(clip.truth, np.flatnonzero(clip.truth.visible.all(axis=0)))
    moved = np.linalg.norm(truth.displacement_px, axis=2).max()
    assert len(truth.labels) > 20
    assert moved > 2
    for tracker in benchmark_trackers([], ["opencv-lk", "opencv-dis"], threads=1).trackers:
        tracks = tracker.track(clip.sequence, truth.positions_px[0], labels=truth.labels)
        distance = np.linalg.norm(tracks.positions_px - truth.positions_px, axis=2)[1:]
        assert np.median(distance) < 0.4
        bias = (tracks.positions_px - truth.positions_px)[1:].mean(axis=(0, 1))
        assert np.abs(bias).max() < 0.35


@pytest.mark.slow
def test_the_same_seed_gives_the_same_case_and_a_kept_clip_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(second_source, "FRAME_COUNT", 3)
    (first,) = second_source.second_source_cases(["echo"], count=1, seed=7, cache=tmp_path)
    (kept,) = tmp_path.glob("*.npz")
    monkeypatch.setattr(second_source, "make_clip", lambda *_, **__: pytest.fail("a kept clip is made again"))
    (again,) = second_source.second_source_cases(["echo"], count=1, seed=7, cache=tmp_path)
    assert np.array_equal(first.clip.sequence.frames, again.clip.sequence.frames)
    assert np.array_equal(first.clip.truth.positions_px, again.clip.truth.positions_px)
    assert np.array_equal(first.clip.truth.visible, again.clip.truth.visible)
    case = first.benchmark_case(10)
    assert case.group == "echo hard"
    assert len(case.truth.labels) == 10
    assert case.truth.visible[0].all()
    kept.write_bytes(b"no clip")
    with pytest.raises(InputError, match="no kept clip"):
        list(second_source.second_source_cases(["echo"], count=1, seed=7, cache=tmp_path))


def test_a_scene_or_seed_that_does_not_exist_is_refused():
    with pytest.raises(InputError, match="scene 'kidney'"):
        next(second_source.second_source_cases(["kidney"], count=1, seed=1))
    with pytest.raises(InputError, match="difficulty 'extreme'"):
        next(second_source.second_source_cases(["echo"], ["extreme"], count=1, seed=1))
    with pytest.raises(InputError, match="seed -1"):
        next(second_source.second_source_cases(count=1, seed=-1))


@pytest.mark.slow
def test_the_heart_contracts_once_a_beat_and_its_strain_is_that_of_exact_tracks(monkeypatch):
    phases = np.linspace(0, 1, 201)
    assert contraction_at(phases)[0] == contraction_at(phases)[-1] == 0
    assert phases[contraction_at(phases).argmax()] == pytest.approx(0.355, abs=0.006)
    monkeypatch.setattr(echo, "_SCATTERERS", 2000)
    monkeypatch.setattr(ProbeImage, "__call__", lambda self, *_: np.ones(self._probe.image_points_mm.shape[:2]))
    (drawn,) = second_source.second_source_cases(["echo"], count=1, seed=11)
    case = drawn.strain_case()
    found = longitudinal_strain(given_on(case, case.end_diastole_frame, 1)).measures.gls_percent
    assert -25 < case.gls_percent < -8
    assert found == pytest.approx(case.gls_percent, abs=0.2)
    assert case.end_diastole_frame < case.end_systole_frame < case.next_end_diastole_frame < len(case.sequence)
    (liver,) = second_source.second_source_cases(["liver"], count=1, seed=11)
    with pytest.raises(InputError, match="no ventricle"):
        liver.strain_case()


def test_points_are_hidden_behind_a_rib_and_in_a_dropout():
    rng = np.random.default_rng(2)
    drawn = replace(draw_echo_scene(rng, True, 2)[0], rib=(20.0, -12.0, 6.0, 0.0), lung=None)
    dropout = replace(drawn.dropouts[0], angle=0.4, width=0.05, passes=0.05, sway=0.0, from_mm=20.0)
    drawn = replace(drawn, dropouts=(dropout,))
    at = np.array([[-36.0, 60.0], [2.0, 60.0], [60 * np.tan(0.4), 60.0]])
    passed = passed_amplitude(drawn, SMALL, at, 0)
    assert passed[0] < 0.25
    assert passed[1] > 0.9
    assert passed[2] < 0.1


def test_the_screen_places_points_where_the_probe_shows_them():
    screen = Screen(SMALL, Console(jpeg_quality=None, dynamic_range_db=120.0, reference_gray=0.3), 1)
    point = np.array([6.0, 55.0])
    image = screen.show(np.maximum(envelope(SMALL, [point], [1.0]), 1e-6))
    row, column = np.unravel_index(image.astype(int).argmax(), image.shape)
    assert np.abs(screen.pixels(point) - [column, row]).max() < 1.5
    assert image[-1, 0] == 0


def clip_rows():
    def row(group, clip, tracker, *, ours, result):
        return ClipRow(group, clip, tracker, ours, *result, 0, 4, 0.9, 50.0)

    return [
        row("echo hard", "a", "mine", ours=True, result=(92.0, (0.5, 0.7))),
        row("echo hard", "a", "opencv-lk", ours=False, result=(90.0, (0.9, 1.1))),
        row("echo hard", "a", "opencv-dis", ours=False, result=(85.0, (0.9, 1.3))),
        row("echo hard", "b", "mine", ours=True, result=(91.0, (0.6, 0.9))),
        row("echo hard", "b", "opencv-lk", ours=False, result=(80.0, (2.0, 3.0))),
        row("echo hard", "b", "opencv-dis", ours=False, result=(93.0, (0.4, 0.5))),
        ClipRow("echo hard, GLS error", "a", "mine", True, true_gls=-18.0, gls_error=-0.5),
        ClipRow("echo hard, GLS error", "b", "mine", True, true_gls=-15.0, gls_error=None),
        ClipRow("echo video back", "echo video", "mine", True, errors_px=(0.8,), moved_px=21.0),
    ]


def test_the_table_compares_with_the_best_of_opencv_on_each_clip():
    best = next(row for row in group_rows(clip_rows()) if row.tracker == BEST_PEER)
    assert best.accuracy == {"a": 90.0, "b": 93.0}
    result = detail_result(clip_rows())
    mine = result.rows[0]
    assert result.difference(mine).mean == pytest.approx(0.0)
    by_name = {target.what: target for target in result.targets}
    assert by_name["echo hard: mine, accuracy"].met
    assert by_name["echo hard: mine, median"].measured == "0.65"
    assert not by_name["echo hard: mine, worst clip"].met
    assert by_name["echo hard: mine, worst clip"].measured == "-2.0"
    text = summary_result(clip_rows()).table()
    assert "91.5 / 0.65" in text
    assert "0.50 (1 without)" in text
    assert "0.80 / 21.0" in text


def test_a_strain_that_some_clips_do_not_give_does_not_meet_its_target():
    target = next(one for one in detail_result(clip_rows()).targets if "GLS" in one.what)
    assert not target.met
    assert target.measured == "0.50, 1 without"


LABELS = (
    "scorer,anna,anna,anna,anna\n"
    "bodyparts,tip,tip,root,root\n"
    "coords,x,y,x,y\n"
    "labeled-data/tongue/img0002.png,10.5,20.25,30,40\n"
    "labeled-data/tongue/img0005.png,11,21,,\n"
)


def test_hand_labels_are_read_as_deeplabcut_writes_them(tmp_path):
    path = tmp_path / "tongue.csv"
    path.write_text(LABELS)
    labels, positions = read_hand_labels(path, 6)
    assert labels == ("tip", "root")
    assert positions[2].tolist() == [[10.5, 20.25], [30, 40]]
    assert np.isnan(positions[5, 1]).all()
    assert np.isnan(positions[0]).all()
    # Newer versions write the image's path in three columns.
    path.write_text(
        LABELS.replace("scorer,", "scorer,,,")
        .replace("bodyparts,", "bodyparts,,,")
        .replace("coords,", "coords,,,")
        .replace("labeled-data/tongue/", "labeled-data,tongue,")
    )
    assert np.array_equal(read_hand_labels(path, 6)[1], positions, equal_nan=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("frame,x,y\n1,2,3\n", "header lines"),
        (LABELS.replace("img0005", "img0009"), "frame 9 is outside"),
        (LABELS.replace("img0005", "img0002"), "given twice"),
        (LABELS.replace("20.25", "abc"), "'abc'"),
        (LABELS.replace("img0005", "last"), "names no frame"),
        (LABELS.replace("coords,x,y,x,y", "coords,x,y,x,likelihood"), "root has both"),
        ("\n".join(LABELS.splitlines()[:3]), "holds no label"),
    ],
)
def test_hand_labels_that_do_not_fit_are_refused(tmp_path, text, message):
    path = tmp_path / "tongue.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as refused:
        read_hand_labels(path, 6)
    assert str(path) in str(refused.value)


def test_labelled_clips_are_found_beside_their_tables(tmp_path):
    from PIL import Image

    (tmp_path / "tongue").mkdir()
    for number in range(6):
        Image.fromarray(np.full((50, 60), 10 * number, dtype=np.uint8)).save(tmp_path / "tongue" / f"{number:03d}.png")
    (tmp_path / "tongue.csv").write_text(LABELS)
    (case,) = labelled_cases(tmp_path)
    assert case.truth.query_frame == 2
    assert case.truth.labels == ("tip", "root")
    (tmp_path / "other.csv").write_text(LABELS)
    with pytest.raises(InputError, match="no clip of that name"):
        list(labelled_cases(tmp_path))


def test_a_clip_without_truth_is_measured_there_and_back():
    pytest.importorskip("cv2")
    source = SwayingSpeckle(9, 128)
    clip = RoundTripClip("swaying back", ImageSequence(np.stack([source[index] for index in range(9)]), name="swaying"))
    (tracker,) = benchmark_trackers([], ["opencv-lk"], threads=1).trackers
    row = measure_round_trip(clip, tracker)
    assert row.errors_px[0] < 0.5
    assert row.moved_px > 2
    assert row.accuracy_percent is None


def test_weights_are_named_by_their_tracker():
    assert {name: str(path) for name, path in weights_of(["specknet=a.safetensors"]).items()} == {
        "specknet": "a.safetensors"
    }
    for text in ("specknet", "=a", "specknet="):
        with pytest.raises(InputError, match="MODEL=FILE"):
            weights_of([text])
    with pytest.raises(InputError, match="given twice"):
        weights_of(["a=1", "a=2"])
    with pytest.raises(InputError, match="weights of specknet: this tracker does not run"):
        benchmark_trackers(["lucas-kanade"], [], weights={"specknet": "a"})


@pytest.mark.slow
def test_the_command_prints_tables_and_keeps_rows(tmp_path, monkeypatch, capsys):
    pytest.importorskip("cv2")
    monkeypatch.setattr(second_source, "FRAME_COUNT", 4)
    arguments = ["--seed", 3, "--count", 1, "--scene", "liver", "--points", 5, "--threads", 1]
    arguments += ["--models", "lucas-kanade", "--peers", "opencv-lk"]
    files = ["--rows", str(tmp_path / "rows.jsonl"), "--json", str(tmp_path / "out.json"), "--cache", str(tmp_path)]
    assert run_verb(benchmark, "second-source", *arguments, *files) == 0
    text = capsys.readouterr().out
    assert "seed 3" in text
    assert "liver hard % / px" in text
    assert BEST_PEER in text
    content = json.loads((tmp_path / "out.json").read_text())
    assert content["seed"] == 3
    assert {row["tracker"] for row in content["rows"]} == {"lucas-kanade", "opencv-lk", BEST_PEER}
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 2
    monkeypatch.setattr(
        "UltrasoundMotionLib.lab.benchmarks.second_source.rows.run_timed",
        lambda *_: pytest.fail("what was measured is measured again"),
    )
    assert run_verb(benchmark, "second-source", *arguments, *files) == 0
    with pytest.raises(InputError, match="other settings"):
        run_verb(benchmark, "second-source", *arguments[2:], "--seed", "4", *files)
    with pytest.raises(InputError, match="no clip to measure"):
        run_verb(
            benchmark, "second-source", "--seed", 3, "--count", 0, "--models", "lucas-kanade", "--peers", "opencv-lk"
        )
    with pytest.raises(InputError, match="--pymust -1"):
        run_verb(benchmark, "second-source", *arguments, "--pymust", -1)
    with pytest.raises(InputError, match="is no folder"):
        run_verb(benchmark, "second-source", *arguments, "--data", tmp_path / "nothing")


@pytest.mark.parametrize("place", [(0.0, 40.0), (0.0, 90.0), (20.0, 80.0)])
def test_a_point_is_as_wide_as_pymust_shows_it(place):
    pytest.importorskip("pymust")
    probe = Probe(32, 0.5, frequency_mhz=1.8, wave_count=1, f_number=0.01, window_power=0.0, half_angle=0.35)
    probe = replace(probe, line_count=141, depth_mm=110.0)
    points = np.add([place, place], [[0, 0], [0, 1e-3]])
    theirs = np.abs(PymustImage(probe, -200.0)(points, np.ones(2), NO_OBSTACLES, np.random.default_rng(0)))
    ours = envelope(probe, points, np.ones(2))
    found = []
    for shown in (theirs, ours):
        line, sample = np.unravel_index(shown.argmax(), shown.shape)
        across = shown[:, sample - 8 : sample + 9].max(axis=1)
        width = np.sum(across > across.max() / 2) * (probe.line_angles[1] - probe.line_angles[0])
        found.append((probe.line_angles[line], probe.ranges_mm[sample], width * probe.ranges_mm[sample]))
    assert found[1][0] == pytest.approx(found[0][0], abs=0.011)
    assert found[1][1] == pytest.approx(found[0][1], abs=0.4)
    assert found[1][2] == pytest.approx(found[0][2], rel=0.25)


def test_opencvs_flow_is_searched_to_full_resolution_where_that_is_named():
    pytest.importorskip("cv2")
    fine, preset = (find_peer(name, "tracking").call() for name in ("opencv-dis-fine", "opencv-dis"))
    assert (fine._flow_method.getFinestScale(), preset._flow_method.getFinestScale()) == (0, 1)
    assert "opencv-dis-fine" not in {one.name for one in available_peers("tracking")}
