"""A new tracker is one file: it is found by every part of the software that lists or runs trackers."""

import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import UltrasoundMotionLib.tracking.trackers as tracker_package
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.registry import Registry
from UltrasoundMotionLib.tracking import TrackRequest, available_trackers, find_tracker, track_points
from UltrasoundMotionLib.tracking.registry import TRACKERS

TOYS = """
    import numpy as np

    from UltrasoundMotionLib.tracking import ClipTracks, FrameTracks, tracker


    class Still:
        def start(self, frame, query_points):
            count = len(query_points)
            return FrameTracks(np.array(query_points, dtype=float), np.ones(count), np.ones(count, dtype=bool))

        def update(self, frame):
            return self.start(frame, self.points)


    class Drifting:
        frames_at_most = 5

        def track(self, frames, query_points):
            count, point_count = len(frames), len(query_points)
            steps = np.arange(count)[:, None, None] * [1.0, 0.0]
            return ClipTracks(query_points + steps, np.ones((count, point_count)), np.ones((count, point_count), bool))


    @tracker("toy-still", "leaves points where they are", kind="points", devices=(), use="tests")
    def create_still(setup):
        class Fixed(Still):
            def start(self, frame, query_points):
                self.points = query_points
                return super().start(frame, query_points)

        return Fixed()


    @tracker("toy-clip", "moves points by a pixel a frame", kind="points", online=False, devices=(), use="tests")
    def create_clip(setup):
        return Drifting()
"""


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Adds one file of toy trackers to the package's path, and forgets it afterwards."""
    (tmp_path / "toys.py").write_text(textwrap.dedent(TOYS))
    monkeypatch.setattr(tracker_package, "__path__", [*tracker_package.__path__, str(tmp_path)])
    yield
    for name in ("toy-still", "toy-clip"):
        TRACKERS._entries.pop(name, None)
    TRACKERS._seen.pop("toys", None)
    sys.modules.pop("UltrasoundMotionLib.tracking.trackers.toys", None)


def clip(frame_count=12):
    return ImageSequence(np.random.default_rng(0).integers(0, 255, (frame_count, 40, 60), dtype=np.uint8))


def test_a_tracker_in_one_file_is_found_everywhere(toys, tmp_path, capsys):
    assert {"toy-still", "toy-clip"} <= {entry.name for entry in available_trackers()}
    assert main(["models", "list"]) == 0
    assert "toy-still" in capsys.readouterr().out
    assert main(["models", "show", "toy-clip"]) == 0
    assert "moves points by a pixel a frame" in capsys.readouterr().out
    assert main(["models", "verify"]) == 0
    from UltrasoundMotionLib import write_sequence

    write_sequence(tmp_path / "clip.seq.nrrd", clip())
    (tmp_path / "points.csv").write_text("label,x,y\na,10,20\n")
    words = ["--points", str(tmp_path / "points.csv"), "--out", str(tmp_path / "out.csv"), "--model", "toy-still"]
    assert main(["track", str(tmp_path / "clip.seq.nrrd"), *words, "--quiet"]) == 0
    assert (tmp_path / "out.csv").read_text().count("\n") == 13
    assert main(["track", str(tmp_path / "clip.seq.nrrd"), *words[:-1], "toy-none", "--quiet"]) == 2
    assert "toy-still" in capsys.readouterr().err


def test_a_whole_clip_tracker_takes_windows_both_ways_and_says_so(toys):
    tracks = track_points(clip(12), [[20.0, 20.0], [30.0, 10.0]], model="toy-clip", query_frame=3)
    np.testing.assert_array_equal(tracks.positions_px[:, 0, 0], 20.0 + np.abs(np.arange(12) - 3))
    assert tracks.confidence.min() == 1 and "overlapping windows" in tracks.notes[-1]
    short = track_points(clip(5), [[20.0, 20.0]], model="toy-clip")
    assert not any("windows" in note for note in short.notes)
    one_way = track_points(clip(12), [[20.0, 20.0]], model="toy-clip", query_frame=6, direction="backward")
    assert np.flatnonzero(one_way.reached).tolist() == list(range(7))
    with pytest.raises(InputError, match="watch_shadows: toy-clip sees the whole clip at once"):
        track_points(clip(), [[20.0, 20.0]], model="toy-clip", watch_shadows=True)


def test_a_cancelled_whole_clip_run_keeps_what_is_finished(toys):
    def stop(done, total, message):
        if done == 4:
            raise KeyError("enough")

    tracks = track_points(clip(12), [[20.0, 20.0]], model="toy-clip", progress=stop, keep_partial=True)
    assert tracks.reached.sum() == 4


def test_a_module_that_lacks_a_package_hides_no_other(tmp_path, monkeypatch):
    package = tmp_path / "toy_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "good.py").write_text("import toy_registry\n")
    (package / "bad.py").write_text("import a_package_that_is_not_there\n")
    (tmp_path / "toy_registry.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("toy", "toy_package")
    assert registry.all() == () and registry.unavailable == {"bad": "a_package_that_is_not_there"}
    with pytest.raises(InputError, match=r"no toy named x; choose one of  \(bad needs a_package_that_is_not_there\)"):
        registry.find("x")


def test_settings_of_a_tracker_are_changed_by_name():
    entry = find_tracker("lucas-kanade")
    changed = entry.settings_from({"confidence": {"visible_above": 0.9}, "working_size": 128})
    assert changed.confidence.visible_above == 0.9 and changed.working_size == 128
    assert changed.confidence.deviation_scale == entry.settings().confidence.deviation_scale
    with pytest.raises(InputError, match="ConfidenceSettings has no seen_above; it has"):
        track_points(clip(), [[20.0, 20.0]], settings={"confidence": {"seen_above": 0.9}})
    with pytest.raises(InputError, match="weights x: the tracker lucas-kanade needs none"):
        entry.make(weights="x")


def test_listing_trackers_needs_no_torch():
    import subprocess

    code = (
        "import sys\nfrom UltrasoundMotionLib.tracking import available_trackers\n"
        "assert len(available_trackers()) >= 13\nassert 'torch' not in sys.modules"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr


def test_a_request_refuses_what_it_cannot_take():
    with pytest.raises(InputError, match="ahead_frames: expected a whole number in frames from 0 on, got -1"):
        TrackRequest(ahead_frames=-1)
    with pytest.raises(InputError, match="offline: knows the frames to come"):
        TrackRequest(offline=True, ahead_frames=2)
    with pytest.raises(InputError, match="query_frame: expected a frame number or auto, got 'soon'"):
        TrackRequest(query_frame="soon")
