"""`track` and `models`: what they write, what they say, and that wrong input ends in one line and exit code 2."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file
from pydicom.examples import get_path

from command_line import SHIFT_PX, assert_nothing_written, assert_refused, speckle, write_clip
from UltrasoundMotionLib.errors import Cancelled
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.tracking import read_tracks_csv
from UltrasoundMotionLib.tracking.query_frame import find_typical_frame
from UltrasoundMotionLib.weights import find_card, read_card, shipped_cards


@pytest.fixture
def track(run, clip, points, tmp_path):
    """Follows the usual points through the usual clip into t.csv, but for what is given."""

    def call(*options, clip=clip, points=points, out=tmp_path / "t.csv"):
        return run("track", clip, "--points", points, "--out", out, *options)

    return call


@pytest.mark.parametrize("model", ["lucas-kanade", "block-matching"])
def test_track_writes_where_the_points_went(track, tmp_path, model):
    out = tmp_path / "tracks.csv"
    code, said, error = track("--model", model, "--query-frame", 4, "--frame-rate", 20, "--device", "cpu", out=out)
    assert (code, error) == (0, "")
    tracks = read_tracks_csv(out)
    assert tracks.labels == ("A", "B")
    assert tracks.query_frame == 4
    np.testing.assert_allclose(tracks.times_s, np.arange(9) / 20, atol=1e-9)
    expected = np.array([[40, 40], [50.5, 60]]) + (np.arange(9)[:, None, None] - 4) * [SHIFT_PX, 0]
    np.testing.assert_allclose(tracks.positions_px, expected, atol=0.2)
    assert tracks.visible.all()
    for word in ("2 points", "9 frames", "frame 4", model, "frames/s", str(out), "Next:"):
        assert word in said


def test_quiet_says_nothing(track):
    assert track("--quiet") == (0, "", "")


def test_track_draws_what_is_asked_for(track, tmp_path):
    pytest.importorskip("matplotlib", reason="needs the extra plot")
    pictures = {
        option: tmp_path / name
        for option, name in (("--overlay", "o.png"), ("--animation", "a.gif"), ("--plot", "p.png"))
    }
    options = [word for pair in pictures.items() for word in pair]
    code, said, _ = track(*options)
    assert code == 0
    for path in pictures.values():
        assert path.read_bytes()[:4] in (b"\x89PNG", b"GIF8")
        assert str(path) in said


def test_auto_takes_the_frame_most_like_all_the_others(track, tmp_path):
    code, said, _ = track("--query-frame", "auto")
    assert code == 0
    assert "query frame 4 chosen" in said  # speckle that drifts steadily: the middle one
    assert read_tracks_csv(tmp_path / "t.csv").query_frame == 4


@pytest.mark.parametrize("seed", range(5))
def test_typical_frame_is_the_medoid(seed):
    frames = np.random.default_rng(seed).uniform(0, 255, (12, 20, 31)).astype(np.float32)
    frames[3:9] += 200 * frames[4]
    rows = frames.reshape(
        12, -1
    )  # the image is smaller than the block means, so the definition can be computed outright
    correlation = np.corrcoef(rows)
    assert find_typical_frame(ImageSequence(frames)) == np.argmax((correlation.sum(axis=1) - 1) / 11)


def test_points_on_what_the_scanner_drew_are_pointed_out(track, tmp_path):
    frames = speckle(9)
    frames[:, 58:61, 40:60] = 255  # a ruler that stands still while the tissue moves
    clip = write_clip(tmp_path / "ruler.mha", frames)
    assert "note: B on what seems drawn by the scanner" in track(clip=clip)[1]
    assert "drawn" not in track("--keep-graphics", clip=clip)[1]
    assert "drawn" not in track()[1]


def test_markups_of_slicer_are_followed(track, tmp_path):
    path = tmp_path / "p.mrk.json"
    control_point = {"label": "wire", "position": [-40, -40, 0], "positionStatus": "defined"}
    path.write_text(json.dumps({"markups": [{"coordinateSystem": "RAS", "controlPoints": [control_point]}]}))
    assert track(points=path)[0] == 0
    tracks = read_tracks_csv(tmp_path / "t.csv")
    assert tracks.labels == ("wire",)
    np.testing.assert_allclose(tracks.positions_px[0, 0], [40, 40])


def test_scene_of_a_tracking(slicer_core, track, tmp_path):
    code, _, error = track("--scene", tmp_path / "s.mrb")
    assert (code, error) == (0, "")
    assert (tmp_path / "s.mrb").read_bytes()[:2] == b"PK"


def test_models_are_listed_and_shown(run):
    code, said, _ = run("models", "list")
    assert code == 0
    tables = [table.splitlines() for table in said.split("\n\n")]
    assert tables[0][0].split() == ["name", "kind", "weights", "licence", "summary"]
    names, unweighted, methods, weights = ([line.split()[0] for line in table[1:]] for table in tables)
    assert {"lucas-kanade", "block-matching"} <= set(names)
    assert "echotracker" in unweighted and not set(names) & set(unweighted)
    assert {"instance", "demons"} <= set(methods)
    assert weights == [path.stem for path in shipped_cards()]
    for line in tables[3][1:]:
        assert line.split()[1] == read_card(find_card(line.split()[0])).licence
    for name in (names[0], methods[0], weights[0]):
        code, said, _ = run("models", "show", name)
        assert code == 0
        assert name in said
    assert_refused(run("models", "show", "no-such"), "no-such", *names)


def case(name, *words):
    return pytest.param(name, words, id=name)


def make_bad_input(name, tmp_path, clip):
    """A file or folder that cannot be tracked, of the kind that `name` says."""
    path = tmp_path / f"{name}{'.dcm' if name.endswith('dicom') else '.mha'}"
    match name:
        case "missing":
            pass
        case "empty":
            path.touch()
        case "truncated":
            path.write_bytes(clip.read_bytes()[:-2000])
        case "truncated-dicom":
            path.write_bytes(Path(get_path("ybr_color")).read_bytes()[:60_000])
        case "text-as-dicom":
            path.write_text("not an image at all\n")
        case "tomography-dicom":
            shutil.copy(get_testdata_file("CT_small.dcm", download=False), path)
        case "folder-of-nothing":
            path.mkdir()
        case "zero-frames":
            path.write_bytes(
                b"ObjectType = Image\nNDims = 3\nDimSize = 96 96 0\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
            )
        case "one-frame":
            write_clip(path, speckle(1))
        case "not-finite":
            frames = speckle(6, dtype=np.float32)
            frames[4, 7, 9] = np.nan
            write_clip(path, frames)
        case _:
            raise AssertionError(name)
    return path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        case("missing", "no such file"),
        case("empty", "empty"),
        case("truncated"),
        case("truncated-dicom"),
        case("text-as-dicom"),
        case("tomography-dicom", "CT"),
        case("folder-of-nothing"),
        case("zero-frames"),
        case("one-frame", "one frame"),
        case("not-finite", "frame 4", "not finite"),
    ],
)
def test_bad_images_are_refused_in_one_line(track, clip, tmp_path, name, words):
    bad = make_bad_input(name, tmp_path, clip)
    assert_refused(track(clip=bad), bad, *words)
    assert_nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("label,x,y\nA,40,40\nB,96,60\n", ("line 3", "B", "(96, 60)", "96 x 96")),
        ("label,x,y\nA,40,40\nA,50,60\n", ("line 3", "A", "line 2")),
        ("name,x,y\nA,40,40\n", ("line 1", "label,x,y", "name,x,y")),
        ("label,x,y\nA,left,40\n", ("line 2", "x", "left")),
        ("label,x,y\n", ("no point",)),
    ],
)
def test_bad_points_are_refused_in_one_line(track, tmp_path, text, words):
    path = tmp_path / "points.csv"
    path.write_text(text)
    assert_refused(track(points=path), path, *words)
    assert_nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--query-frame", "9"], ["9", "0 to 8", "speckle.mha"]),
        (["--query-frame", "-1"], ["-1", "0 to 8"]),
        (["--query-frame", "first"], ["--query-frame", "first", "auto"]),
        (["--model", "magic"], ["magic", "lucas-kanade", "block-matching"]),
        (["--device", "abacus"], ["abacus", "cpu"]),
        (["--spacing-mm", "0", "1"], ["--spacing-mm", "got 0"]),
        (["--frame-rate", "nan"], ["--frame-rate", "got nan"]),
        (["--frame-rate", "1e15"], ["1e+15 Hz", "unit"]),
        (["--query-frame", "9" * 20], ["--query-frame", "got " + "9" * 20]),
        (["--scene-every", "9" * 20], ["--scene-every", "got " + "9" * 20]),
        (["--overlay", "o.jpeg"], ["o.jpeg", ".png"]),
        (["--scene", "s.mrml"], ["s.mrml", ".mrb"]),
        (["--animation", "missing/a.gif"], ["missing/a.gif", "does not exist"]),
        (["--nonsense"], ["--nonsense"]),
    ],
)
def test_bad_options_are_refused_in_one_line(track, tmp_path, monkeypatch, options, words):
    monkeypatch.chdir(tmp_path)
    assert_refused(track(*options), *words)
    assert_nothing_written(tmp_path)


def test_unwritable_outputs_are_refused_before_the_input_is_read(run, track, points, tmp_path):
    never_read = tmp_path / "never-read.mha"
    for out, words in (
        (tmp_path / "none" / "t.csv", ["does not exist"]),
        (points / "t.csv", ["does not exist"]),
        (tmp_path, [".csv"]),
        (tmp_path / "t.txt", ["t.txt", ".csv"]),
        (points, ["overwrite an input"]),
    ):
        assert_refused(track(clip=never_read, out=out), out, *words)
    (tmp_path / "folder.csv").mkdir()
    assert_refused(track(clip=never_read, out=tmp_path / "folder.csv"), "folder.csv", "is a folder")
    same = ["--overlay", tmp_path / "p.png", "--plot", tmp_path / "p.png"]
    assert_refused(track(*same, clip=never_read), "p.png", "overlay file")
    assert_refused(run("demo", "--out", points), points)


def test_no_arguments_and_unknown_verbs_are_refused_in_one_line(run):
    assert_refused(run(), "VERB")
    assert_refused(run("dance"), "dance", "track")
    assert_refused(run("track"), "INPUT", "--points", "--out")


def test_an_unexpected_error_is_one_line_and_a_traceback_only_on_demand(track, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("UltrasoundMotionLib.cli.track.follow", fail)
    code, _, error = track()
    assert code == 1
    assert (
        error
        == "ultrasound-motion: error: unexpected RuntimeError: two lines (run again with --debug for the details)\n"
    )
    code, _, error = track("--debug")
    assert code == 1
    assert "Traceback" in error


def test_a_cancelled_run_ends_with_130(track, monkeypatch):
    def cancel(*arguments, **options):
        raise Cancelled

    monkeypatch.setattr("UltrasoundMotionLib.cli.track.follow", cancel)
    assert track("--quiet") == (130, "", "ultrasound-motion: cancelled\n")
