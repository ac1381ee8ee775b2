"""A new tracker or registration method is one file, found by every part of the software that lists or runs them."""

import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest

import UltrasoundMotionLib.registration.methods as method_package
import UltrasoundMotionLib.tracking.trackers as tracker_package
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence, Volume, write_volume
from UltrasoundMotionLib.lab.benchmarks.registration.benchmark import OURS, default_methods
from UltrasoundMotionLib.lab.benchmarks.trackers import benchmark_trackers
from UltrasoundMotionLib.registration import RegisterRequest, SequenceRequest, available_methods, find_method, register
from UltrasoundMotionLib.registration.registry import METHODS
from UltrasoundMotionLib.registry import Registry
from UltrasoundMotionLib.settings import from_plain, to_plain
from UltrasoundMotionLib.tracking import TrackRequest, available_trackers, find_tracker, track_points
from UltrasoundMotionLib.tracking.query import PointQuery
from UltrasoundMotionLib.tracking.registry import TRACKERS
from UltrasoundMotionLib.tracking.run import run_clip_query

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

TOY_METHOD = """
    from dataclasses import dataclass

    from UltrasoundMotionLib.registration.registry import registration_method


    @dataclass(frozen=True)
    class ToySettings:
        voxels: float = 1.0


    @registration_method("toy-shift", "moves everything along x", settings=ToySettings, devices=("cpu",), use="tests")
    def run_toy(setup):
        import torch

        field = torch.zeros(1, setup.pair.grid.dimension, *setup.pair.grid.shape)
        field[:, 0] = setup.settings.voxels
        return field
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


@pytest.fixture
def toy_method(tmp_path, monkeypatch):
    """Adds one file with a toy method to the package's path, and forgets it afterwards."""
    folder = tmp_path / "more_methods"
    folder.mkdir()
    (folder / "toy_method.py").write_text(textwrap.dedent(TOY_METHOD))
    monkeypatch.setattr(method_package, "__path__", [*method_package.__path__, str(folder)])
    yield
    METHODS._entries.pop("toy-shift", None)
    METHODS._seen.pop("toy_method", None)
    sys.modules.pop("UltrasoundMotionLib.registration.methods.toy_method", None)


def clip(frame_count=12):
    return ImageSequence(np.random.default_rng(0).integers(0, 255, (frame_count, 40, 60), dtype=np.uint8))


def test_a_tracker_in_one_file_is_found_everywhere(toys, tmp_path, capsys):
    assert {"toy-still", "toy-clip"} <= {entry.name for entry in available_trackers()}
    assert main(["models", "list"]) == 0
    assert "toy-still" in capsys.readouterr().out
    assert main(["models", "show", "toy-clip"]) == 0
    assert "moves points by a pixel a frame" in capsys.readouterr().out
    assert main(["models", "verify"]) == 0
    benchmarked = benchmark_trackers(None, [], kind="points").trackers
    assert {"toy-still", "toy-clip"} <= {one.name for one in benchmarked}
    from UltrasoundMotionLib import write_sequence

    write_sequence(tmp_path / "clip.seq.nrrd", clip())
    (tmp_path / "points.csv").write_text("label,x,y\na,10,20\n")
    words = ["--points", str(tmp_path / "points.csv"), "--out", str(tmp_path / "out.csv"), "--model", "toy-still"]
    assert main(["track", str(tmp_path / "clip.seq.nrrd"), *words, "--quiet"]) == 0
    assert (tmp_path / "out.csv").read_text().count("\n") == 13
    assert main(["track", str(tmp_path / "clip.seq.nrrd"), *words[:-1], "toy-none", "--quiet"]) == 2
    assert "toy-still" in capsys.readouterr().err


def image(size=24):
    values = np.random.default_rng(0).random((size, size)).astype(np.float32)
    return Volume(values, (0.5, 0.8), (3.0, -4.0), np.eye(2), "image")


def test_a_registration_method_in_one_file_is_found_everywhere(toy_method, tmp_path, capsys):
    assert find_method("toy-shift") in available_methods()
    found = register(image(), image(), method="toy-shift", settings={"voxels": 2.0})
    np.testing.assert_allclose(found.displacement.displacement_mm, np.broadcast_to([1.0, 0.0], (24, 24, 2)), atol=1e-6)
    assert main(["models", "list"]) == 0
    assert "moves everything along x" in capsys.readouterr().out
    assert main(["models", "show", "toy-shift"]) == 0
    assert "--method toy-shift" in capsys.readouterr().out
    assert f"{OURS}toy-shift" in default_methods()
    for name in ("fixed", "moving"):
        write_volume(tmp_path / f"{name}.nrrd", image())
    words = ["register", str(tmp_path / "fixed.nrrd"), str(tmp_path / "moving.nrrd"), "--quiet"]
    words += ["--out-displacement", str(tmp_path / "u.nrrd"), "--method", "toy-shift"]
    assert main(words) == 0
    assert (tmp_path / "u.nrrd").is_file()
    assert main([*words, "--refine"]) == 2
    assert "refine: toy-shift has no prediction of a network to refine" in capsys.readouterr().err
    assert main([*words, "--weights", "w.safetensors"]) == 2
    assert "weights w.safetensors: the method toy-shift needs none" in capsys.readouterr().err


def test_a_whole_clip_tracker_takes_windows_both_ways_and_says_so(toys):
    tracks = track_points(clip(12), [[20.0, 20.0], [30.0, 10.0]], model="toy-clip", query_frame=3)
    np.testing.assert_array_equal(tracks.positions_px[:, 0, 0], 20.0 + np.abs(np.arange(12) - 3))
    query = PointQuery.on(clip(12), [[20.0, 20.0], [30.0, 10.0]], frame=3)
    assert run_clip_query(clip(12), find_tracker("toy-clip").make, query).confidence.min() == 1  # its own, not judged
    assert "overlapping windows" in tracks.notes[-1]
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


def test_a_request_refuses_what_it_cannot_take():
    with pytest.raises(InputError, match="ahead_frames: expected a whole number in frames from 0 on, got -1"):
        TrackRequest(ahead_frames=-1)
    with pytest.raises(InputError, match="offline: knows the frames to come"):
        TrackRequest(offline=True, ahead_frames=2)
    with pytest.raises(InputError, match="query_frame: expected a frame number or auto, got 'soon'"):
        TrackRequest(query_frame="soon")
    with pytest.raises(InputError, match="working_spacing_mm: expected a number in mm above 0, got 0"):
        RegisterRequest(working_spacing_mm=0)
    with pytest.raises(InputError, match="initial_transform: expected a 3x3 or 4x4 matrix of finite numbers"):
        RegisterRequest(initial_transform=[[1.0, 0.0]])
    with pytest.raises(InputError, match="mode: expected one of to-reference, frame-to-frame, got 'sideways'"):
        SequenceRequest(mode="sideways")


def test_requests_of_registration_come_back_from_json():
    import json

    from UltrasoundMotionLib.registration import InstanceSettings

    settings = InstanceSettings.for_same_scan()
    request = RegisterRequest(initial_transform=np.eye(4), settings=settings, refine=False, working_spacing_mm=2)
    back = from_plain(RegisterRequest, json.loads(json.dumps(to_plain(request))))
    assert find_method("instance").settings_from(back.settings) == settings
    assert (back.initial_transform, back.refine, back.working_spacing_mm) == (request.initial_transform, False, 2.0)
    assert RegisterRequest(initial_transform=None) == RegisterRequest(initial_transform="none")


def test_changes_of_settings_are_to_those_that_the_pair_gets():
    """Two moments of one scan have other settings than two subjects; changing one setting leaves the others."""
    from types import SimpleNamespace

    method = find_method("instance")
    one_scan = SimpleNamespace(same_scan=True, different_modality=False)
    changed = method.settings_from({"iterations": [1, 1, 1]}, pair=one_scan)
    assert changed.iterations == (1, 1, 1)
    assert changed.likeness == method.settings_from(pair=one_scan).likeness != method.settings_from().likeness


def test_menus_name_what_a_method_can_do():
    methods = {method.name: method for method in available_methods()}
    assert next(iter(methods)) == "instance"
    assert {name for name, method in methods.items() if method.refinable} == {
        "anatomy-guided",
        "label-transfer",
        "voxelmorph",
        "pyramid",
        "ltnet-published",
    }
    assert [name for name, method in methods.items() if method.transfers_labels] == [
        "label-transfer",
        "ltnet-published",
    ]
    assert all(method.use and method.settings is not None for method in methods.values())


def test_a_former_name_finds_the_method_and_no_list_shows_it(toy_method):
    assert find_method("semantic") is find_method("anatomy-guided")
    assert find_method("ltnet") is find_method("label-transfer")
    assert METHODS.present_name("semantic") == "anatomy-guided" and METHODS.present_name("demons") == "demons"
    assert not {"semantic", "ltnet"} & {method.name for method in available_methods()}
    with pytest.raises(InputError, match="a registration method named semantic is registered already"):
        METHODS.add(replace(find_method("toy-shift"), name="other"), ["semantic"])
    with pytest.raises(InputError, match="there is no registration method named semantics; choose one of instance"):
        find_method("semantics")
