"""CoTracker3: the numbers of the official code, and whole-clip trackers that run with imported weights.

The weights here are made by a formula and follow nothing; only the way of the numbers is tested.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

import golden_networks
from small_cotracker3 import VERSIONS, import_small_cotracker3, official_tensors
from UltrasoundMotionLib import write_sequence
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import Cancelled, InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.tracking import available_trackers, find_tracker, track_points
from UltrasoundMotionLib.tracking.trackers.cotracker3.network import (
    CoTracker3,
    CoTracker3Config,
    TrackState,
    time_table,
)
from UltrasoundMotionLib.tracking.trackers.cotracker3.official import convert_cotracker3
from UltrasoundMotionLib.tracking.trackers.cotracker3.offline import CoTracker3Tracker
from UltrasoundMotionLib.tracking.trackers.cotracker3.online import CoTracker3OnlineTracker
from UltrasoundMotionLib.tracking.trackers.cotracker3.settings import CoTracker3Settings

CPU = torch.device("cpu")


@lru_cache(maxsize=4)
def network(name, dtype, small=False):
    tensors, configuration = convert_cotracker3(official_tensors(name, dtype, small), VERSIONS[name])
    made = CoTracker3(CoTracker3Config(**configuration, input_size=tuple(golden_networks.golden(name)["image"])))
    made = made.to(dtype).eval()
    made.load_state_dict(tensors, strict=True)
    return made


def small_tracker(**changes):
    return CoTracker3Tracker(network("cotracker3", torch.float64, True), settings("cotracker3", **changes), CPU)


def inputs(name):
    """Grey levels (T, H, W), points (N, 2) and their frames (N,), and the official outputs."""
    stored = golden_networks.golden(name)
    frames = golden_networks.images(stored["frames"], *stored["image"])[:, 0].round().numpy().astype(np.float32)
    points = golden_networks.points(stored["points"], *stored["image"]).float().double()
    return frames, points, torch.tensor(stored["query_frames"]), stored["outputs"]


def expected(outputs, key, like):
    return torch.tensor(outputs[key], dtype=torch.float64).reshape(like.shape)


@torch.inference_mode()
def test_the_network_computes_the_official_numbers():
    frames, points, query_frames, outputs = inputs("cotracker3")
    made = network("cotracker3", torch.float64)
    images = torch.tensor(frames)[:, None].double() / 127.5 - 1
    features = made.encoder(images.expand(-1, 3, -1, -1))[::2, ::16, ::5, ::7]
    torch.testing.assert_close(features, expected(outputs, "features_some", features), rtol=0, atol=1e-9)
    maps = made.pyramid(made.encode(images))
    templates, begin = made.templates(maps, points, query_frames), TrackState.begin(points, len(frames))
    tokens = made._tokens(maps, templates, begin, slice(None), made._time_embedding(len(frames), maps[0]))
    tokens = tokens[:, ::2, ::24]
    torch.testing.assert_close(tokens, expected(outputs, "tokens_some", tokens), rtol=0, atol=1e-9)
    check_state(made.refine(maps, templates, begin, 3), outputs, 1e-9)  # the whole: the offline tracker


def check_state(found, outputs, tolerance):
    positions = found.positions.transpose(0, 1).double() * 4
    torch.testing.assert_close(positions, expected(outputs, "positions", positions), rtol=tolerance, atol=tolerance)
    for key, logits in (("visibility", found.visibility), ("confidence", found.confidence)):
        values = logits.sigmoid().t().double()
        torch.testing.assert_close(values, expected(outputs, key, values), rtol=0, atol=tolerance)


@pytest.mark.slow  # the trackers' tests have it too
@torch.inference_mode()
def test_single_precision_stays_at_the_official_numbers():
    frames, points, query_frames, outputs = inputs("cotracker3")
    images = torch.tensor(frames)[:, None] / 127.5 - 1
    check_state(network("cotracker3", torch.float32)(images, points.float(), query_frames, 3), outputs, 1e-5)


def settings(name, **changes):
    return replace(CoTracker3Settings(golden_networks.golden(name)["iterations"], support_grid=0), **changes)


def check_tracks(found, points, query_frames, outputs, tolerance, *, product_above=None):
    wanted = np.array(outputs["positions"]).reshape(found.positions_px.shape)
    sure = [np.array(outputs[key]).reshape(found.confidence.shape) for key in ("visibility", "confidence")]
    given = np.arange(len(found.positions_px))[:, None] == query_frames.numpy()
    np.testing.assert_allclose(found.positions_px[~given], wanted[~given], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(found.confidence[~given], np.prod(sure, axis=0)[~given], rtol=0, atol=tolerance)
    np.testing.assert_array_equal(found.positions_px[given], points[query_frames.argsort(stable=True)])
    assert found.visible[given].all() and found.confidence[given].min() == 1
    visible = sure[0] > 0.9 if product_above is None else np.prod(sure, axis=0) > product_above
    np.testing.assert_array_equal(found.visible[~given], visible[~given])


PRECISIONS = [(torch.float64, 1e-9), pytest.param(torch.float32, 1e-5, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_the_offline_tracker_returns_them(dtype, tolerance):
    frames, points, query_frames, outputs = inputs("cotracker3")
    tracker = CoTracker3Tracker(network("cotracker3", dtype), settings("cotracker3"), CPU)
    found = tracker.track(frames, points.numpy(), query_frames.numpy())
    check_tracks(found, points.numpy(), query_frames, outputs, tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS)
def test_the_online_tracker_slides_as_the_official_one(dtype, tolerance):
    frames, points, query_frames, outputs = inputs("cotracker3-online")
    tracker = CoTracker3OnlineTracker(network("cotracker3-online", dtype), settings("cotracker3-online"), CPU)
    found = tracker.track(frames, points.numpy())
    check_tracks(found, points.numpy(), query_frames, outputs, tolerance, product_above=0.6)


def test_parts_of_points_and_frames_change_nothing(monkeypatch):
    frames, points, query_frames, _ = inputs("cotracker3")

    def track():
        return small_tracker(support_grid=2).track(frames, points.numpy(), query_frames.numpy()).positions_px

    whole = track()
    monkeypatch.setattr("UltrasoundMotionLib.tracking.network_blocks.chunk_sizes._CACHE_BYTES", 1)
    np.testing.assert_allclose(track(), whole, rtol=0, atol=1e-9)


def test_support_points_take_part_and_are_not_returned():
    frames, points, query_frames, _ = inputs("cotracker3")
    alone, supported = (
        small_tracker(support_grid=side).track(frames, points.numpy(), query_frames.numpy()).positions_px
        for side in (0, 3)
    )
    assert alone.shape == supported.shape and np.abs(alone - supported).max() > 1e-5


def test_memory_bounds_the_frames_seen_together():
    few, many = (small_tracker(memory_mb=2000).frames_that_fit((480, 640), count) for count in (10, 1000))
    assert 2 < many < few
    assert small_tracker(memory_mb=1).frames_that_fit((480, 640), 10) == 2


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("ULTRASOUND_MOTION_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture(scope="module")
def imported_models(tmp_path_factory):
    return import_small_cotracker3(tmp_path_factory.mktemp("cotracker3"))


@pytest.fixture
def imported(imported_models, monkeypatch):
    monkeypatch.setenv("ULTRASOUND_MOTION_MODELS", str(imported_models))


def clip(frame_count, height=60, width=80):
    frames = golden_networks.images(frame_count, height, width)[:, 0].numpy()
    return ImageSequence(np.clip(frames, 0, 255).astype(np.uint8))


def run(name, frame_count, query_frame=0, **keywords):
    keywords = {"settings": {"iterations": 2}, **keywords}
    points = [[20.0, 30.0], [60.0, 12.0]]
    return track_points(
        clip(frame_count), points, model=name, query_frame=query_frame, device="cpu", hide_graphics=False, **keywords
    )


@pytest.mark.parametrize("name", VERSIONS)
def test_imported_weights_run_from_any_query_frame_with_progress_and_cancel(name, imported, capsys):
    assert name in {entry.name for entry in available_trackers()}
    seen = []
    found = run(name, 6, 5, progress=lambda done, total, message: seen.append((done, total, message)))
    assert found.reached.all() and found.notes == () and found.model == name
    np.testing.assert_array_equal(found.positions_px[5], [[20.0, 30.0], [60.0, 12.0]])
    assert any("features" in message for _, _, message in seen) and any("refinement" in one[2] for one in seen)
    assert [done for done, _, _ in seen] == sorted(done for done, _, _ in seen) and seen[-1][:2] == (6, 6)

    def stop(done, total, message):
        if "refinement" in message:
            raise Cancelled("enough")

    partial = run(name, 6, 3, progress=stop, keep_partial=True)
    assert np.flatnonzero(partial.reached).tolist() == [3]
    both = run(name, 2, 1, direction="backward")
    assert both.reached.all()


def test_a_clip_beyond_the_memory_is_seen_in_windows_and_said(imported, monkeypatch):
    monkeypatch.setattr(CoTracker3Tracker, "frames_that_fit", lambda self, shape, count: 4)
    found = run("cotracker3", 9, 4)
    assert found.reached.all()
    assert "longer than the tracker's memory, 4 frames with 2 points" in found.notes[0]


def test_a_still_clip_and_other_grey_levels(imported):
    frame = clip(1).frames[0]
    for frames in (np.stack([frame] * 3), np.zeros((3, 60, 80), np.uint8)):
        found = track_points(frames, [[20.0, 30.0]], model="cotracker3", device="cpu", settings={"iterations": 1})
        assert found.reached.all() and found.visible[0].all()
    dark = clip(4).frames.astype(np.float32)
    levels = [run_frames(values) for values in (dark, dark * 16 - 300)]
    np.testing.assert_allclose(levels[0], levels[1], atol=0.05)


def run_frames(frames):
    return track_points(
        frames, [[20.0, 30.0]], model="cotracker3", device="cpu", settings={"iterations": 2}, hide_graphics=False
    ).positions_px


def test_the_command_line_runs_it(imported, tmp_path):
    write_sequence(tmp_path / "clip.seq.nrrd", clip(3))
    (tmp_path / "points.csv").write_text("label,x,y\na,20,30\nb,60,12\n")
    words = ["track", str(tmp_path / "clip.seq.nrrd"), "--points", str(tmp_path / "points.csv")]
    words += ["--out", str(tmp_path / "out.csv"), "--model", "cotracker3", "--query-frame", "2", "--device", "cpu"]
    assert main([*words, "--quiet"]) == 0
    rows = [line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines()[1:]]
    assert len(rows) == 6
    given = {row[2]: (float(row[3]), float(row[4])) for row in rows if row[0] == "2"}
    assert given == {"a": (20.0, 30.0), "b": (60.0, 12.0)}


def test_other_versions_are_refused_by_name(models, tmp_path, capsys):
    def refusal(tensors, name):
        torch.save(tensors, tmp_path / "model.pth")
        assert main(["models", "import", str(tmp_path / "model.pth"), "--as", name]) == 2
        return " ".join(capsys.readouterr().err.split())

    tensors = official_tensors("cotracker3", small=True)
    online = refusal(tensors | {"time_emb": time_table(16, 150)[None]}, "cotracker3")
    assert "it is the online one, with windows of 16 frames; import it --as cotracker3-online" in online
    offline = refusal(tensors | {"time_emb": time_table(60, 150)[None]}, "cotracker3-online")
    assert "it is the offline one, with windows of 60 frames; import it --as cotracker3" in offline
    second = refusal(tensors | {"track_feat_updater.0.weight": torch.zeros(2, 2)}, "cotracker3")
    assert "it is CoTracker2; expected scaled_offline.pth of CoTracker3" in second
    assert "holds other numbers" in refusal(tensors | {"time_emb": torch.zeros(1, 12, 150)}, "cotracker3")
    missing = {key: value for key, value in tensors.items() if key != "corr_mlp.fc1.weight"}
    assert "no tensor" in refusal(missing, "cotracker3") and not models.exists()


def test_settings_that_the_network_cannot_take_are_refused():
    for changes, message in (
        ({"iterations": 0}, "iterations: expected a number from 1 on, got 0"),
        ({"support_grid": 1}, "support_grid: expected 0 or a number from 2 on, got 1"),
        ({"memory_mb": 0}, "memory_mb: expected a number from 1 on, got 0"),
    ):
        with pytest.raises(InputError, match=message):
            find_tracker("cotracker3").settings_from(changes)
    assert find_tracker("cotracker3").settings_from().support_grid == 6
    assert find_tracker("cotracker3-online").settings_from().support_grid == 0
