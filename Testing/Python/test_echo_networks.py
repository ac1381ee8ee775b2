"""EchoTracker and PIPs++: the numbers of the official code, and whole-clip trackers that run with imported weights.

The weights here are made by a formula and follow nothing; only the way of the numbers is tested.
"""

from functools import lru_cache

import numpy as np
import pytest
import torch

import golden_networks
from UltrasoundMotionLib import write_sequence
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.tracking import available_trackers, find_tracker, track_points
from UltrasoundMotionLib.tracking.trackers.echotracker.network import EchoTracker, EchoTrackerConfig
from UltrasoundMotionLib.tracking.trackers.echotracker.official import convert_echotracker
from UltrasoundMotionLib.tracking.trackers.pipspp.network import PipsPlusPlus, PipsPlusPlusConfig
from UltrasoundMotionLib.tracking.trackers.pipspp.official import convert_pipspp

NETWORKS = {
    "echotracker": (EchoTracker, EchoTrackerConfig, convert_echotracker),
    "pipspp": (PipsPlusPlus, PipsPlusPlusConfig, convert_pipspp),
}
OTHER = {"echotracker": "pipspp", "pipspp": "echotracker"}


@lru_cache(maxsize=4)
def official_tensors(name, dtype=torch.float32):
    stored = golden_networks.golden(name)
    return golden_networks.official_weights(stored["tensors"], stored["output_layers"], dtype)


def network(name, dtype):
    kind, config, convert = NETWORKS[name]
    tensors, configuration = convert(official_tensors(name, dtype))
    made = kind(config(**configuration)).to(dtype).eval()
    made.load_state_dict(tensors, strict=True)
    return made


def inputs(name, dtype):
    stored = golden_networks.golden(name)
    size = stored["frames"], *stored["image"]
    points = golden_networks.points(stored["points"], *stored["image"], dtype)
    return golden_networks.images(*size, dtype) / 127.5 - 1, points, stored["outputs"]


def expected(outputs, key, like):
    return torch.tensor(outputs[key], dtype=torch.float64).reshape(like.shape)


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.setenv("ULTRASOUND_MOTION_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture(scope="module")
def imported_models(tmp_path_factory):
    """A folder with both networks' official checkpoints, imported once, with weights by formula."""
    folder = tmp_path_factory.mktemp("imported")
    with pytest.MonkeyPatch.context() as patches:
        patches.setenv("ULTRASOUND_MOTION_MODELS", str(folder / "models"))
        for name in NETWORKS:
            torch.save({"model_state_dict": official_tensors(name)}, folder / f"{name}.pth")
            assert main(["models", "import", str(folder / f"{name}.pth"), "--as", name]) == 0
    return folder / "models"


@pytest.fixture
def imported(imported_models, monkeypatch):
    """Both networks can be named."""
    monkeypatch.setenv("ULTRASOUND_MOTION_MODELS", str(imported_models))


@torch.inference_mode()
def test_echotracker_computes_the_official_numbers():
    images, points, outputs = inputs("echotracker", torch.float64)
    made = network("echotracker", torch.float64)
    features = made.encode(images, 3)
    coarse, fine = features.first_coarse[0, ::16, ::3, ::3], features.fine[0][::3, ::16, ::9, ::9]
    torch.testing.assert_close(coarse, expected(outputs, "coarse_first", coarse), rtol=0, atol=1e-9)
    torch.testing.assert_close(fine, expected(outputs, "fine_some", fine), rtol=0, atol=1e-9)
    wanted = golden_networks.trajectories(outputs, len(images), len(points))
    torch.testing.assert_close(torch.stack(made.follow(features, points)), wanted, rtol=0, atol=1e-9)
    torch.testing.assert_close(torch.stack(made(images, points)), wanted, rtol=0, atol=1e-9)


@torch.inference_mode()
@pytest.mark.slow
def test_pipspp_computes_the_official_numbers():
    images, points, outputs = inputs("pipspp", torch.float64)
    made = network("pipspp", torch.float64)
    features = made.encode(images, 3)
    some = features[0][::3, ::32, ::4, ::4]
    torch.testing.assert_close(some, expected(outputs, "features_some", some), rtol=0, atol=1e-9)
    start = points.expand(len(images), -1, -1)
    found, templates = made.follow(features, start, 3)
    wanted = golden_networks.trajectories(outputs, len(images), len(points))
    torch.testing.assert_close(torch.stack(found), wanted, rtol=0, atol=1e-9)
    coloured = made.encode(images.expand(-1, 3, -1, -1), 7)
    torch.testing.assert_close(coloured[0], features[0])
    # a second window begins where the first ended, with its templates
    back = made.encode(images.flip(0), 2)
    found, _ = made.follow(back, wanted[-1][-1:].expand(len(images), -1, -1), 2, templates)
    torch.testing.assert_close(found[-1], expected(outputs, "second_window", found[-1]), rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
@torch.inference_mode()
def test_single_precision_stays_at_the_official_numbers(name):
    images, points, outputs = inputs(name, torch.float32)
    made = network(name, torch.float32)
    found = made(images, points) if name == "echotracker" else made(images, points, 3)
    wanted = golden_networks.trajectories(outputs, len(images), len(points))
    torch.testing.assert_close(torch.stack(found).double(), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["echotracker", pytest.param("pipspp", marks=pytest.mark.slow)])
def test_gradients_reach_every_weight(name):
    made = network(name, torch.float32)
    images, points, _ = inputs(name, torch.float32)
    found = made(images[:3], points, 2)
    sum(((one - points) ** 2).mean() for one in found).backward()
    assert all(value.grad is not None and value.grad.abs().sum() > 0 for value in made.parameters())


def clip(frame_count=5, height=60, width=80):
    frames = golden_networks.images(frame_count, height, width)[:, 0].numpy()
    return ImageSequence(np.clip(frames, 0, 255).astype(np.uint8))


SMALL = {
    "echotracker": {"image_size": [64, 64]},
    "pipspp": {"image_size": [128, 128], "iterations": 2, "window": 4},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_tracker_resizes_follows_and_brings_back(name, imported, monkeypatch):
    assert name in {entry.name for entry in available_trackers()}
    sequence = clip(4)
    points = np.array([[20.0, 30.0], [61.5, 12.25], [40.0, 55.0]])
    steps = []
    found = track_points(
        sequence,
        points,
        model=name,
        device="cpu",
        settings=SMALL[name],
        hide_graphics=False,
        progress=lambda done, total, message: steps.append((done, total, message)),
    )
    np.testing.assert_array_equal(found.positions_px[0], points)
    assert found.visible[0].all() and np.isfinite(found.positions_px).all()
    assert any("features" in message for _, _, message in steps) and any("refinement" in one[2] for one in steps)
    made = network(name, torch.float32)
    height, width = SMALL[name]["image_size"]
    frames = torch.tensor(np.stack([sequence.frame(index) for index in range(4)]))[:, None].float()
    images = torch.nn.functional.interpolate(frames, (height, width), mode="bilinear") / 127.5 - 1
    scale = torch.tensor([width / 80, height / 60])
    inside = ((torch.tensor(points) + 0.5) * scale - 0.5).float()
    with torch.inference_mode():
        wanted = made(images, inside)[-1] if name == "echotracker" else made(images, inside, 2)[-1]
    wanted = ((wanted + 0.5) / scale - 0.5).numpy()
    within = found.visible[1:]
    np.testing.assert_allclose(found.positions_px[1:][within], wanted[1:][within], atol=1e-3)
    monkeypatch.setattr(f"UltrasoundMotionLib.tracking.trackers.{name}.tracker._POINTS_AT_ONCE", 2)
    grouped = track_points(sequence, points, model=name, device="cpu", settings=SMALL[name], hide_graphics=False)
    np.testing.assert_allclose(grouped.positions_px, found.positions_px, atol=1e-3)


def test_points_that_leave_the_image_are_not_visible(imported):
    from UltrasoundMotionLib.tracking.network_blocks.clip_resizing import ClipResizing

    trajectories = torch.tensor([[[31.5, 31.5]], [[70.0, 31.5]], [[63.4, 0.0]]])
    found = ClipResizing((60, 80), (64, 64)).tracks(trajectories, np.array([[39.0, 29.0]]))
    np.testing.assert_array_equal(found.visible[:, 0], [True, False, True])
    np.testing.assert_array_equal(found.confidence[:, 0], [1.0, 0.0, 1.0])
    np.testing.assert_allclose(found.positions_px[1, 0], [79.0, 29.5])


def test_pipspp_windows_are_those_of_the_official_evaluation():
    from UltrasoundMotionLib.tracking.trackers.pipspp.tracker import _windows

    assert _windows(10, 4) == [range(0, 4), range(3, 7), range(6, 10)]
    assert _windows(9, 4) == [range(0, 4), range(3, 7), range(5, 9)]
    assert _windows(3, 4) == [range(0, 3)]
    assert _windows(4, 4) == [range(0, 4)]


@pytest.mark.slow  # at the networks' usual image size
@pytest.mark.parametrize("name", NETWORKS)
def test_any_query_frame_on_the_command_line(name, imported, tmp_path):
    write_sequence(tmp_path / "clip.seq.nrrd", clip(4))
    (tmp_path / "points.csv").write_text("label,x,y\na,20,30\nb,60,12\n")
    words = ["track", str(tmp_path / "clip.seq.nrrd"), "--points", str(tmp_path / "points.csv")]
    words += ["--out", str(tmp_path / "out.csv"), "--model", name, "--query-frame", "1", "--quiet", "--device", "cpu"]
    assert main(words) == 0
    rows = [line.split(",") for line in (tmp_path / "out.csv").read_text().splitlines()[1:]]
    assert len(rows) == 8 and {row[2] for row in rows} == {"a", "b"}
    given = {row[2]: (float(row[3]), float(row[4])) for row in rows if row[0] == "1"}
    assert given == {"a": (20.0, 30.0), "b": (60.0, 12.0)}


@pytest.mark.parametrize("name", NETWORKS)
def test_without_weights_the_command_line_says_how_to_import_them(name, models, tmp_path, capsys):
    assert name not in {entry.name for entry in available_trackers()}
    write_sequence(tmp_path / "clip.seq.nrrd", clip(3))
    (tmp_path / "points.csv").write_text("label,x,y\na,20,30\n")
    words = ["track", str(tmp_path / "clip.seq.nrrd"), "--points", str(tmp_path / "points.csv")]
    assert main([*words, "--out", str(tmp_path / "out.csv"), "--model", name, "--quiet"]) == 2
    refused = " ".join(capsys.readouterr().err.split())
    assert f"`ultrasound-motion models import CHECKPOINT --as {name}`" in refused and "licence MIT" in refused


@pytest.mark.parametrize("name", NETWORKS)
def test_the_other_network_and_other_versions_are_refused(name, models, tmp_path, capsys):
    def refusal(tensors):
        torch.save({"model_state_dict": tensors}, tmp_path / "model.pth")
        assert main(["models", "import", str(tmp_path / "model.pth"), "--as", name]) == 2
        return " ".join(capsys.readouterr().err.split())

    projects = {"echotracker": "EchoTracker", "pipspp": "PIPs++"}
    other = refusal(official_tensors(OTHER[name]))
    assert f"looks like a checkpoint of {projects[OTHER[name]]} (https://github.com/" in other
    assert f"expected one of {projects[name]} (https://github.com/" in other
    tensors = official_tensors(name)
    missing = {key: value for key, value in tensors.items() if key != "fnet.conv3.bias"}
    assert "last.bias is missing" in refusal(missing)
    wide = dict(tensors)
    wide["fnet.conv1.weight"] = torch.cat([wide["fnet.conv1.weight"]] * 2, dim=1)
    assert "another version" in refusal(wide) and not models.exists()


def test_settings_that_the_networks_cannot_take_are_refused():
    for name in NETWORKS:
        with pytest.raises(InputError, match="image_size: expected multiples of 8"):
            find_tracker(name).settings_from({"image_size": [100, 256]})
    with pytest.raises(InputError, match="window: expected a number of frames from 2 on, got 1"):
        find_tracker("pipspp").settings_from({"window": 1})
    with pytest.raises(InputError, match="iterations: expected a number from 0 on"):
        find_tracker("echotracker").settings_from({"iterations": -1})
