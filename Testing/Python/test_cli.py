"""The command line: what it writes, what it says, and that wrong input ends in one line and exit code 2."""

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom.data import get_testdata_file
from pydicom.examples import get_path
from scipy import ndimage

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import Cancelled
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.strain.strain_files import read_strain_csv, read_strain_json
from UltrasoundMotionLib.tracking import read_tracks_csv
from UltrasoundMotionLib.tracking.query_frame import find_typical_frame
from UltrasoundMotionLib.weights import find_card, read_card, shipped_cards

COMMAND = [sys.executable, "-m", "UltrasoundMotionLib"]
SHIFT_PX = 0.75
SPACING_MM = (
    2 * 0.5104970559477806
)  # of the demo's clip: its DICOM region gives half of that for frames of twice the size


def speckle(frame_count, size=96, shift=SHIFT_PX, dtype=np.uint8):
    """Smooth noise that moves right by `shift` pixels a frame."""
    noise = ndimage.gaussian_filter(np.random.default_rng(5).standard_normal((size, 2 * size)), 2)
    noise = 128 + 110 * noise / np.abs(noise).max()
    moved = (ndimage.shift(noise, (0, shift * frame), order=3, mode="wrap") for frame in range(frame_count))
    return np.stack([frame[:, size // 2 : size // 2 + size] for frame in moved]).astype(dtype)


def write_clip(path, frames):
    sitk.WriteImage(sitk.GetImageFromArray(frames), str(path))
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_clip(tmp_path_factory.mktemp("clip") / "speckle.mha", speckle(9))


@pytest.fixture
def points(tmp_path):
    path = tmp_path / "points.csv"
    path.write_text("label,x,y\nA,40,40\nB,50.5,60\n")
    return path


@pytest.fixture
def run(capsys):
    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, without_progress(captured.err)

    return call


@pytest.fixture
def track(run, clip, points, tmp_path):
    """Follows the usual points through the usual clip into t.csv, but for what is given."""

    def call(*options, clip=clip, points=points, out=tmp_path / "t.csv"):
        return run("track", clip, "--points", points, "--out", out, *options)

    return call


def without_progress(error):
    """What was said on stderr but for the lines of progress, which a busy machine makes appear."""
    return "".join(
        line for line in error.splitlines(keepends=True) if not line.startswith(("tracking ", "animation ", "scene "))
    )


def assert_refused(result, *words):
    code, _, error = result
    assert code == 2, error
    assert error.count("\n") == 1
    assert error.startswith("ultrasound-motion: error: ")
    for word in words:
        assert str(word) in error, error


# what a good run gives


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


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The demo, run once: its folder, and what it said."""
    folder = tmp_path_factory.mktemp("demo") / "new" / "folder"
    said, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(said), redirect_stderr(errors):
        code = main(["demo", "--out", str(folder)])
    assert (code, without_progress(errors.getvalue())) == (0, "")
    return folder, said.getvalue()


def test_demo_follows_the_wall_of_a_real_heart(demo):
    folder, said = demo
    tracks = read_tracks_csv(folder / "wall-tracks.csv")
    assert tracks.positions_px.shape == (30, 21, 2)
    assert tracks.query_frame == 16
    excursion = np.linalg.norm(tracks.displacement_px, axis=2).max(axis=0)
    assert 3 < excursion.max() < 30, "the mitral ring moves by centimetres at most, a pixel is about a millimetre"
    assert np.mean(tracks.visible) > 0.8
    for line in (folder / "wall-points.csv", folder / "wall-tracks.csv"):
        assert str(line) in said
    with (folder / "wall-points.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    np.testing.assert_allclose([[float(row["x"]), float(row["y"])] for row in rows], tracks.positions_px[16])
    assert not [path for path in folder.iterdir() if path.name.startswith(".partial")]
    assert "Next:" in said
    if "Left out" not in said:
        assert {path.suffix for path in folder.iterdir()} == {".csv", ".mrb", ".png", ".gif", ".json"}


def test_demo_measures_strain_and_says_what_the_clip_does_not_hold(demo):
    folder, said = demo
    table, report = read_strain_csv(folder / "wall-strain.csv"), read_strain_json(folder / "wall-strain.json")
    assert table.global_percent.shape == (30,)
    assert -25 < report["measures"]["gls_percent"] < -8, "a heart that contracts, as the picture shows"
    assert (report["events"]["end_diastole_frames"], report["events"]["end_systole_frames"]) == ([21], [4])
    assert report["measures"]["peak_systolic_percent"] is None, "the clip begins within systole"
    assert any("starts after end-diastole" in note for note in report["notes"])
    assert f"GLS {report['measures']['gls_percent']:.1f}" in said


def test_scene_of_the_demo_plays_everything_together(slicer_core, demo):
    from UltrasoundMotionLib.mrml.headless_scene import HeadlessScene
    from UltrasoundMotionLib.mrml.scene_files import read_scene

    folder, _ = demo
    tracks = read_tracks_csv(folder / "wall-tracks.csv")
    with HeadlessScene() as scene:
        read_scene(scene, folder / "wall.mrb")
        (browser,) = slicer_core.util.getNodesByClass("vtkMRMLSequenceBrowserNode", scene)
        proxies = {
            name: scene.GetFirstNodeByClass(name) for name in ("vtkMRMLScalarVolumeNode", "vtkMRMLMarkupsFiducialNode")
        }
        proxies["curve"] = next(
            node
            for node in slicer_core.util.getNodesByClass("vtkMRMLMarkupsCurveNode", scene)
            if browser.IsProxyNode(node.GetID())
        )
        for node in proxies.values():
            assert browser.IsProxyNode(node.GetID())
            assert browser.GetSequenceNode(node).GetNumberOfDataNodes() == 30
        assert scene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") >= 1
        landmarks = proxies["vtkMRMLMarkupsFiducialNode"]
        for frame in (0, 16, 29):
            browser.SetSelectedItemNumber(frame)
            seen = [number for number in range(21) if tracks.visible[frame, number]]
            shown = np.array([landmarks.GetNthControlPointPosition(number) for number in seen])
            expected = tracks.positions_px[frame, seen] * [-SPACING_MM, -SPACING_MM]  # LPS to RAS, image at the origin
            np.testing.assert_allclose(shown[:, :2], expected, atol=1e-4)
            assert proxies["curve"].GetNumberOfControlPoints() >= len(seen)


def test_models_are_listed_and_shown(run):
    code, said, _ = run("models", "list")
    assert code == 0
    tables = [table.splitlines() for table in said.split("\n\n")]
    assert tables[0][0].split() == ["name", "kind", "weights", "licence", "summary"]
    names, methods, weights = ([line.split()[0] for line in table[1:]] for table in tables)
    assert {"lucas-kanade", "block-matching"} <= set(names)
    assert {"instance", "demons"} <= set(methods)
    assert weights == [path.stem for path in shipped_cards()]
    for line in tables[2][1:]:
        assert line.split()[1] == read_card(find_card(line.split()[0])).licence
    for name in (names[0], methods[0], weights[0]):
        code, said, _ = run("models", "show", name)
        assert code == 0
        assert name in said
    assert_refused(run("models", "show", "no-such"), "no-such", *names)


# what a wrong run gives


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


def assert_nothing_written(folder):
    assert not [path for path in folder.rglob("*") if path.name == "t.csv" or path.name.startswith(".partial")]


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


# as a process


WITHOUT_EXTRAS = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("matplotlib", "PIL", "slicer", "vtk", "vtkmodules", "av", "cv2"):
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, Blocker())
import importlib.util
find = importlib.util.find_spec
def find_spec(name, package=None):
    try:
        return find(name, package)
    except ModuleNotFoundError:
        return None
importlib.util.find_spec = find_spec
from UltrasoundMotionLib.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_table_needs_no_extra_and_the_demo_says_which_it_lacks(clip, points, tmp_path):
    def without_extras(*arguments):
        return subprocess.run(
            [sys.executable, "-c", WITHOUT_EXTRAS, *map(str, arguments)], capture_output=True, text=True, check=False
        )

    track = ["track", clip, "--points", points, "--out", tmp_path / "t.csv"]
    for option, name, extra in (("--scene", "s.mrb", "slicer"), ("--plot", "p.png", "plot")):
        refused = without_extras(*track, option, tmp_path / name)
        assert refused.returncode == 2
        assert refused.stderr.count("\n") == 1
        assert f'pip install "ultrasound-motion[{extra}]"' in refused.stderr
    assert_nothing_written(tmp_path)
    done = without_extras("demo", "--out", tmp_path / "demo")
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert done.stdout.count("Left out: ") == 2
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        "wall-tracks.csv",
        "wall-points.csv",
        "wall-strain.csv",
        "wall-strain.json",
    }


@pytest.mark.parametrize(("option", "answer"), [("--version", "ultrasound-motion "), ("--help", "usage: ultrasound-")])
def test_help_and_version_load_no_package_but_numpy(option, answer):
    """That is why they come at once: importing torch alone takes seconds."""
    program = (
        "import sys; before = set(sys.modules); from UltrasoundMotionLib.cli.main import main; main(sys.argv[1:]);"
    )
    program += "print(*{name.partition('.')[0] for name in set(sys.modules) - before}, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program, option], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(answer)
    assert set(done.stderr.split()) - set(sys.stdlib_module_names) <= {"numpy", "UltrasoundMotionLib"}


def test_a_reader_that_goes_away_is_no_error():
    with subprocess.Popen(
        [*COMMAND, "models", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 141


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_file_and_no_traceback(points, tmp_path, number):
    clip = write_clip(tmp_path / "long.mha", np.tile(speckle(10, size=192), (300, 1, 1)))
    # a test run in the background would pass on that it ignores SIGINT, so the handler is set as in a shell's
    # foreground
    program = "import signal, sys, time, types; signal.signal(signal.SIGINT, signal.default_int_handler);"
    program += (
        "from UltrasoundMotionLib.cli import terminal_progress;"  # its clock runs faster, so that it speaks early
    )
    program += "terminal_progress.time = types.SimpleNamespace(monotonic=lambda: 100 * time.monotonic());"
    program += "from UltrasoundMotionLib.cli.main import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "track", clip, "--points", points, "--out", tmp_path / "t.csv"]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        progress = process.stderr.readline()
        assert progress.startswith("tracking "), progress
        process.send_signal(number)
        _, error = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130
    assert error == "ultrasound-motion: cancelled\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.mha", "points.csv"]
