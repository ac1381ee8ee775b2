"""`strain` and `benchmark strain`: what they write and say, and that wrong input ends in one line and exit code 2."""

import json

import numpy as np
import pytest
import SimpleITK as sitk

from command_line import assert_refused
from strain_motions import beat, half_ellipse, ring, stretched, tracks_of
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.lab.benchmarks.strain.benchmark import benchmark_strain
from UltrasoundMotionLib.lab.benchmarks.strain.cases import StrainCase
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker
from UltrasoundMotionLib.strain.strain_files import read_strain_csv, read_strain_json
from UltrasoundMotionLib.tracking import PointTracks, write_tracks_csv
from UltrasoundMotionLib.tracking.online_tracker import FrameTracks

FRAMES, SYSTOLE = 41, 16


def shortening(percent):
    return 1 + beat(FRAMES, SYSTOLE)[:, None] * np.full(48, percent / 100)


@pytest.fixture
def strain(capsys, tmp_path):
    """Runs `strain` on tracks (those of a wall that shortens by 18 % unless given) into s.csv."""

    def call(*options, tracks=None, out=tmp_path / "s.csv"):
        path = tmp_path / "tracks.csv"
        write_tracks_csv(path, tracks if tracks is not None else tracks_of(stretched(half_ellipse(), shortening(-18))))
        code = main(["strain", str(path), "--out", str(out), *(str(option) for option in options)])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_strain_of_a_wall_that_shortens_by_18_percent(strain, tmp_path):
    code, said, error = strain("--report", tmp_path / "r.json", "--spacing-mm", 0.5, 0.5)
    assert (code, error) == (0, "")
    table = read_strain_csv(tmp_path / "s.csv")
    np.testing.assert_allclose(table.global_percent, -18 * beat(FRAMES, SYSTOLE), atol=1e-4)
    np.testing.assert_allclose(table.segmental_percent[SYSTOLE], -18, atol=1e-4)
    report = read_strain_json(tmp_path / "r.json")
    assert report["measures"]["gls_percent"] == pytest.approx(-18, abs=1e-4)
    assert report["spacing_mm"] == [0.5, 0.5]
    assert report["software"].startswith("ultrasound-motion ")
    assert "GLS -18.0" in said
    assert "basal inferoseptal" in said
    for name in ("s.csv", "r.json"):
        assert str(tmp_path / name) in said


def test_either_base_may_come_first(strain, tmp_path):
    segments = np.repeat([-0.1, -0.1, -0.1, -0.2, -0.2, -0.2], 8)
    tracks = tracks_of(stretched(half_ellipse(), 1 + beat(FRAMES, SYSTOLE)[:, None] * segments)[:, ::-1])
    code, said, _ = strain("--view", "a2c", tracks=tracks)
    assert code == 0
    table = read_strain_csv(tmp_path / "s.csv")
    assert table.segment_names[0] == "basal inferior"
    np.testing.assert_allclose(table.segmental_percent[SYSTOLE, [0, 1, 4, 5]], [-10, -10, -20, -20], atol=0.1)
    assert "reverse order" in said


def test_three_layers_and_a_short_axis(strain, tmp_path):
    middle = np.array([120, 190])
    sizes = ((0.9, -22), (1.0, -18), (1.1, -14))
    contours = [stretched(middle + size * (half_ellipse() - middle), shortening(percent)) for size, percent in sizes]
    code, _, error = strain(
        "--layers", 3, "--report", tmp_path / "r.json", tracks=tracks_of(np.concatenate(contours, axis=1))
    )
    assert (code, error) == (0, "")
    report = json.loads((tmp_path / "r.json").read_text())
    values = [report["layers"][name]["measures"]["end_systolic_percent"] for name in ("endo", "mid", "epi")]
    np.testing.assert_allclose(values, [-22, -18, -14], atol=1e-3)
    assert report["layers"]["thickness"]["kind"] == "transverse"
    assert report["measures"]["gls_percent"] == pytest.approx(-18, abs=1e-3)

    squeezed = 128 + (1 - 0.15 * beat(FRAMES, SYSTOLE))[:, None, None] * (ring() - 128)
    code, said, _ = strain("--view", "SAX-mid", tracks=tracks_of(squeezed))
    assert code == 0
    assert "Global circumferential strain -15.0" in said


def test_events_are_the_users(strain, tmp_path):
    assert strain("--end-systole", 10, "--quiet")[:2] == (0, "")
    table = read_strain_csv(tmp_path / "s.csv")
    assert (table.end_diastole_frames, table.end_systole_frames) == ((0, 40), (10,))
    assert strain("--end-diastole", 2, 38, "--end-systole", 14, "--report", tmp_path / "r.json")[0] == 0
    report = read_strain_json(tmp_path / "r.json")
    assert report["events"]["source"] == "given"
    assert report["events"]["heart_rate_bpm"] == pytest.approx(60 / (36 / 50))
    activation = beat(FRAMES, SYSTOLE)
    expected = 100 * ((1 - 0.18 * activation[14]) / (1 - 0.18 * activation[2]) - 1)
    assert report["measures"]["gls_percent"] == pytest.approx(expected, abs=1e-3)


def test_page_and_scene_of_a_clip(slicer_core, strain, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    clip = tmp_path / "clip.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.full((FRAMES, 240, 260), 50, np.uint8)), str(clip))
    code, said, _ = strain(
        "--clip", clip, "--plot", tmp_path / "p.png", "--scene", tmp_path / "s.mrb", "--reject", "apical septal"
    )
    assert code == 0
    assert "rejected" in said
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "s.mrb").read_bytes()[:2] == b"PK"
    short = tmp_path / "short.mha"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 240, 260), np.uint8)), str(short))
    assert_refused(strain("--clip", short, "--plot", tmp_path / "q.png"), short, "5 frames", "41")
    assert not (tmp_path / "q.png").exists()


def test_trackers_that_disagree_widen_the_uncertainty(strain, tmp_path):
    others = []
    for percent in (-10, -26):
        others.append(tmp_path / f"other{percent}.csv")
        write_tracks_csv(others[-1], tracks_of(stretched(half_ellipse(), shortening(percent))))
    assert strain("--also", *others, "--report", tmp_path / "r.json")[0] == 0
    report = read_strain_json(tmp_path / "r.json")
    assert report["measures"]["gls_percent"] == pytest.approx(-18, abs=1e-3)
    assert report["uncertainty"]["standard_deviation_percent"] == pytest.approx(
        np.std([-18, -10, -26], ddof=1), abs=1e-2
    )
    assert [round(value) for _, value in report["uncertainty"]["trackers_percent"]] == [-18, -10, -26]
    assert_refused(strain("--also", tmp_path / "none.csv"), "none.csv", "no such file")
    assert_refused(
        strain(
            "--also", others[0], "--layers", 3, tracks=tracks_of(stretched(half_ellipse(48), shortening(-18)[:, :47]))
        ),
        "--layers 3",
    )


@pytest.mark.slow
def test_three_views_make_a_ventricle(strain, tmp_path):
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    for view, percent in (("A2C", -12), ("APLAX", -15)):
        write_tracks_csv(tmp_path / f"{view}.csv", tracks_of(stretched(half_ellipse(), shortening(percent))))
    others = ("--other-view", "A2C", tmp_path / "A2C.csv", "--other-view", "APLAX", tmp_path / "APLAX.csv")
    code, said, _ = strain(*others, "--segments", 17, "--report", tmp_path / "r.json", "--plot", tmp_path / "p.png")
    assert code == 0
    assert "GLS -15.0 %" in said
    ventricle = json.loads((tmp_path / "r.json").read_text())["ventricle"]
    assert ventricle["gls_percent"] == pytest.approx(-15, abs=1e-3)
    # anterior and inferior are A2C's, anteroseptal and inferolateral APLAX's, inferoseptal and anterolateral A4C's
    # (Voigt et al. 2015)
    np.testing.assert_allclose(ventricle["percent"][:6], [-12, -15, -18, -12, -15, -18], atol=1e-3)
    np.testing.assert_allclose(ventricle["percent"][12:16], [-12, -16.5, -12, -16.5], atol=1e-3)
    assert (tmp_path / "p.png").exists()
    (tmp_path / "bad.csv").write_text("nothing\n")
    assert_refused(strain("--other-view", "A2C", tmp_path / "bad.csv"), "bad.csv")
    assert_refused(strain("--other-view", "SAX", tmp_path / "A2C.csv"), "A2C.csv", "short-axis")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--view", "A5C"), ("view", "A5C")),
        (("--reject", "apex"), ("A4C has no segment 'apex'",)),
        (("--end-systole", "90", "--end-diastole", "0"), ("frame 90 does not exist",)),
        (("--end-systole", "-3"), ("--end-systole", "-3")),
        (("--layers", "3"), ("--layers 3: 49 points",)),
        (("--cycle", "7"), ("cycle", "7")),
        (("--scene", "s.mrb"), ("--scene s.mrb needs the clip",)),
        (("--plot", "p.jpg"), ("p.jpg", ".png")),
        (("--clip", "none.dcm"), ("none.dcm",)),
        (("--spacing-mm", "0", "1"), ("number above 0",)),
    ],
)
def test_bad_options_are_refused_in_one_line(strain, tmp_path, options, words):
    assert_refused(strain(*options), *words)
    assert not (tmp_path / "s.csv").exists()


def test_bad_tracks_are_refused_in_one_line(strain, tmp_path, capsys):
    still = np.broadcast_to(half_ellipse(), (FRAMES, 49, 2))
    crossing = stretched(half_ellipse(), shortening(-18))[:, np.r_[0:10, 30:20:-1, 10:20, 31:49]]
    for tracks, words in (
        (tracks_of(still), ("no beat",)),
        (tracks_of(stretched(half_ellipse(), shortening(-18))[:, ::12]), ("5 points are too few",)),
        (tracks_of(crossing), ("crosses itself",)),
        (tracks_of(stretched(half_ellipse(), shortening(-18))[:2]), ("less than one cycle",)),
    ):
        assert_refused(strain(tracks=tracks), *words)
    assert not (tmp_path / "s.csv").exists()
    assert main(["strain", str(tmp_path / "none.csv"), "--out", str(tmp_path / "s.csv")]) == 2
    assert "no such file" in capsys.readouterr().err
    assert_refused(strain(out=tmp_path / "tracks.csv"), "would overwrite an input")


class KnowsTheWay:
    """A tracker that reads the frame's number from its pixels and knows where the points are then, or where they would
    be with less strain.
    """

    def __init__(self, positions):
        self.positions = positions

    def start(self, frame, query_points):
        self.given_on = round(float(frame[0, 0]))
        return self.update(frame)

    def update(self, frame):
        count = self.positions.shape[1]
        return FrameTracks(self.positions[round(float(frame[0, 0]))], np.full(count, 0.9), np.ones(count, bool))


def heart(percent):
    positions = stretched(half_ellipse(), shortening(percent))
    labels = tuple(f"mid-{number}" for number in range(49))
    shape = (FRAMES, 49)
    times = np.arange(FRAMES) / 50
    truth = PointTracks(positions, np.ones(shape), np.ones(shape, bool), labels, 0, times, (0.5, 0.5))
    frames = np.broadcast_to(np.arange(FRAMES, dtype=np.uint8)[:, None, None], (FRAMES, 240, 260))
    sequence = ImageSequence(frames, (0.5, 0.5), times, name="heart")
    return StrainCase(
        "easy", "heart", sequence, truth, {"mid": labels}, percent, np.full(6, percent), 0, SYSTOLE, FRAMES - 1
    )


def test_benchmark_measures_what_a_tracker_gets_wrong():
    case = heart(-20.0)
    timid = stretched(half_ellipse(), shortening(-18.5))
    trackers = [
        BenchmarkTracker("knows", lambda: KnowsTheWay(case.truth.positions_px), True),
        BenchmarkTracker("timid", lambda: KnowsTheWay(timid), True),
    ]
    result = benchmark_strain([case], trackers, layer_count=1, query_frame_count=3)
    rows = {row.tracker: row.summary for row in result.rows if row.difficulty == "all"}
    assert rows["knows"]["gls_mae"] == pytest.approx(0, abs=1e-3)
    assert rows["timid"]["gls_mae"] == pytest.approx(1.5, abs=1e-3)
    assert rows["timid"]["gls_bias"] == pytest.approx(1.5, abs=1e-3)
    assert rows["timid"]["segment_mae"] == pytest.approx(1.5, abs=1e-3)
    assert rows["timid"]["position_error_mm"] > rows["knows"]["position_error_mm"] == pytest.approx(0, abs=1e-9)
    for row in rows.values():
        assert row["query_frame_sd"] == pytest.approx(0, abs=1e-3)
        assert row["end_systole_within_1"] == 1.0
    (clip,) = next(row for row in result.rows if row.tracker == "timid").clips
    assert clip.in_interval == (1.96 * clip.stated_deviation >= 1.5)
    met = {target.what: target.met for target in result.targets}
    assert met["knows, GLS: mean absolute error"]
    assert not met["timid, GLS: mean absolute error"]
    assert met["GLS from exact tracks: largest error"]
    assert "timid" in result.table(markdown=True)
    assert json.loads(json.dumps(result.as_dict()))["rows"][0]["tracker"] == "knows"


def test_benchmark_counts_a_wall_that_was_not_tracked_as_no_number():
    case = heart(-20.0)
    still = np.broadcast_to(case.truth.positions_px[:1], case.truth.positions_px.shape)
    result = benchmark_strain(
        [case], [BenchmarkTracker("still", lambda: KnowsTheWay(still), True)], layer_count=1, query_frame_count=2
    )
    summary = result.rows[0].summary
    assert (summary["without_gls"], summary["gls_mae"], summary["rejected_segments"]) == (1, None, 6)
    assert not any(target.met for target in result.targets if target.what.startswith("still, GLS"))


def test_tracks_that_cannot_be_measured_are_named(strain, tmp_path):
    tracks = tracks_of(np.repeat(ring(48)[None], FRAMES, axis=0))
    code, _, error = strain(tracks=tracks)
    assert (code, str(tmp_path / "tracks.csv") in error, error.count("\n")) == (2, True, 1)
