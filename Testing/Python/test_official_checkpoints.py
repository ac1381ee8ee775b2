"""Checkpoints that the authors of networks publish: recognised, converted, installed with their licence, or refused."""

import pickle
import sys
import textwrap

import numpy as np
import pytest
import torch

import golden_networks
import UltrasoundMotionLib.tracking.trackers as tracker_package
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.tracking import available_trackers, find_tracker, track_points
from UltrasoundMotionLib.tracking.registry import TRACKERS
from UltrasoundMotionLib.weights import find_card, read_card, user_models_folder
from UltrasoundMotionLib.weights.licence_terms import restricted_cards, use_allowed

TOYS = """
    import numpy as np

    from UltrasoundMotionLib.tracking import ClipTracks, tracker
    from UltrasoundMotionLib.weights import NetworkKind, OfficialCheckpoint
    from UltrasoundMotionLib.weights.official_checkpoint import renamed


    def build(configuration):
        import torch

        return torch.nn.Sequential(torch.nn.Linear(2, configuration["width"]))


    def converter(name):
        def convert(tensors):
            return renamed(tensors, {rf"{name}\\\\.(\\\\w+)": r"0.\\\\1"}), {"width": len(tensors[f"{name}.bias"])}

        return convert


    def kind(architecture, name, licence):
        official = OfficialCheckpoint(
            architecture, f"https://example.org/{name}", f"A. Author, {architecture}, 2024", licence,
            (f"{name}.weight",), converter(name),
        )
        return NetworkKind(architecture, build, official)


    class Shifting:
        frames_at_most = 50

        def __init__(self, step):
            self.step = step

        def track(self, frames, query_points):
            count, point_count = len(frames), len(query_points)
            steps = np.arange(count)[:, None, None] * [self.step, 0.0]
            return ClipTracks(query_points + steps, np.ones((count, point_count)), np.ones((count, point_count), bool))


    def add(name, architecture, licence):
        @tracker(name, "moves points as its bias says", kind="points", online=False, devices=("cpu",),
                 weights=name, network=kind(architecture, name, licence))
        def create(setup):
            return Shifting(float(setup.network[0].bias[0].detach()))


    add("toy-net", "ToyNet", "MIT")
    add("toy-nc", "ToyNC", "CC-BY-NC-4.0")
"""


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """Adds two trackers whose weights are published and not shipped; the user's models folder is empty."""
    folder = tmp_path / "more_trackers"
    folder.mkdir()
    (folder / "published_toys.py").write_text(textwrap.dedent(TOYS).replace("\\\\", "\\"))
    monkeypatch.setattr(tracker_package, "__path__", [*tracker_package.__path__, str(folder)])
    monkeypatch.setenv("ULTRASOUND_MOTION_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("ULTRASOUND_MOTION_ACCEPT_LICENCES", raising=False)
    yield
    for name in ("toy-net", "toy-nc"):
        TRACKERS._entries.pop(name, None)
    TRACKERS._seen.pop("published_toys", None)
    sys.modules.pop("UltrasoundMotionLib.tracking.trackers.published_toys", None)


def tensors(name, width=3):
    return {f"{name}.weight": torch.zeros(width, 2), f"{name}.bias": torch.full((width,), 0.5)}


def clip():
    return ImageSequence(np.random.default_rng(1).integers(0, 255, (4, 32, 32)).astype(np.uint8))


def test_without_weights_the_line_says_how_to_import_them(toys, tmp_path, capsys):
    assert "toy-net" not in {entry.name for entry in available_trackers()}
    line = find_tracker("toy-net").how_to_install
    assert "`ultrasound-motion models import CHECKPOINT --as toy-net`" in line
    assert "https://example.org/toy-net" in line and "licence MIT" in line and "\n" not in line
    assert main(["models", "list"]) == 0
    assert line in capsys.readouterr().out
    assert main(["models", "show", "toy-net"]) == 0
    shown = capsys.readouterr().out
    assert line in shown and "licence:  MIT" in shown
    with pytest.raises(InputError) as refused:
        track_points(clip(), [[10.0, 10.0]], model="toy-net", device="cpu")
    assert str(refused.value) == line
    assert main(["models", "verify"]) == 0


def test_an_imported_checkpoint_makes_its_tracker_available(toys, tmp_path, capsys):
    checkpoint = tmp_path / "model-000000000.pth"
    torch.save({"model_state_dict": tensors("toy-net"), "optimizer_state_dict": {"step": torch.ones(1)}}, checkpoint)
    assert main(["models", "import", str(checkpoint), "--as", "toy-net"]) == 0
    told = capsys.readouterr().out
    assert "licence MIT: Any use, commercial use included" in told
    assert "https://example.org/toy-net" in told and "A. Author, ToyNet, 2024" in told
    assert "Use it: ultrasound-motion track INPUT --model toy-net ...\n" in told
    card = read_card(find_card("toy-net"))
    assert (card.licence, card.architecture, card.configuration) == ("MIT", "ToyNet", {"width": 3})
    assert "https://example.org/toy-net" in card.trained_on[0]
    assert "toy-net" in {entry.name for entry in available_trackers()}
    found = track_points(clip(), [[10.0, 10.0]], model="toy-net", device="cpu", hide_graphics=False)
    np.testing.assert_allclose(found.positions_px[:, 0, 0], [10.0, 10.5, 11.0, 11.5])
    assert main(["models", "list"]) == 0
    assert find_tracker("toy-net").how_to_install == "" and "--as toy-net" not in capsys.readouterr().out
    assert main(["models", "import", str(checkpoint), "--as", "toy-net"]) == 2
    assert "weights named toy-net are installed already" in capsys.readouterr().err
    assert main(["models", "import", str(checkpoint), "--as", "toy-net", "--name", "second"]) == 0
    assert "--model toy-net ... --weights second" in capsys.readouterr().out


def test_arrays_of_numpy_are_read_and_pickles_are_not(toys, tmp_path, capsys):
    arrays = {name: value.numpy() for name, value in tensors("toy-net").items()}
    np.savez(tmp_path / "plain.npz", **arrays)
    assert main(["models", "import", str(tmp_path / "plain.npz"), "--as", "toy-net"]) == 0
    assert find_tracker("toy-net").installed
    np.save(tmp_path / "params.npy", {"params": arrays})
    assert main(["models", "import", str(tmp_path / "params.npy"), "--as", "toy-net", "--name", "x"]) == 2
    refused = " ".join(capsys.readouterr().err.split())
    assert "params.npy: holds a pickle, which could run code" in refused and ".pt" in refused
    np.save(tmp_path / "one.npy", np.zeros(3))
    assert main(["models", "import", str(tmp_path / "one.npy"), "--as", "toy-net", "--name", "x"]) == 2
    assert "holds one array" in capsys.readouterr().err
    (tmp_path / "cut.npz").write_bytes((tmp_path / "plain.npz").read_bytes()[:200])
    assert main(["models", "import", str(tmp_path / "cut.npz"), "--as", "toy-net", "--name", "x"]) == 2
    assert "cut.npz: " in capsys.readouterr().err


def test_other_checkpoints_are_refused_by_name(toys, tmp_path, capsys):
    def refusal(content, name="file.pt"):
        path = tmp_path / name
        path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
        assert main(["models", "import", str(path), "--as", "toy-net"]) == 2
        assert not user_models_folder().exists()
        return " ".join(capsys.readouterr().err.split())

    other = refusal(tensors("toy-nc"))
    assert "file.pt: looks like a checkpoint of ToyNC (https://example.org/toy-nc), expected one of ToyNet" in other
    unknown = refusal({"layer.weight": torch.zeros(3)})
    assert (
        "file.pt: is no checkpoint of ToyNet (https://example.org/toy-net): it has no tensor toy-net.weight" in unknown
    )
    extra = refusal(tensors("toy-net") | {"head.weight": torch.zeros(3)})
    assert "looks like a checkpoint of ToyNet" in extra and "tensor head.weight is not one" in extra
    missing = refusal({"toy-net.weight": torch.zeros(3, 2)})
    assert "another version" in missing and "toy-net.bias" in missing
    wrong = refusal({"toy-net.weight": torch.zeros(4, 2), "toy-net.bias": torch.zeros(3)})
    assert "another version" in wrong and "0.weight is (4, 2)" in wrong
    torch.save(tensors("toy-net"), tmp_path / "whole.pt")
    truncated = refusal((tmp_path / "whole.pt").read_bytes()[:700])
    assert "file.pt: no checkpoint of torch.save, or one that is damaged or truncated" in truncated

    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "run"), "w"))

    assert "could run code" in refusal(pickle.dumps(Harmful()))
    assert "could run code" in refusal({"model_state_dict": tensors("toy-net"), "more": Harmful()})
    assert not (tmp_path / "run").exists()


def test_a_licence_that_asks_something_is_told_and_to_be_agreed_to(toys, tmp_path, capsys):
    torch.save(tensors("toy-nc"), tmp_path / "model.pt")
    assert main(["models", "import", str(tmp_path / "model.pt"), "--as", "toy-nc"]) == 0
    assert "licence CC-BY-NC-4.0: They may not be used commercially" in capsys.readouterr().out
    assert [card.name for card in restricted_cards([find_card("toy-nc")])] == ["toy-nc"]
    assert restricted_cards([find_card("toy-nc")], ["CC-BY-NC-4.0"]) == ()


@pytest.mark.parametrize("licence", ["MIT", "Apache-2.0", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "LicenseRef-x"])
def test_each_licence_has_a_sentence(licence):
    assert use_allowed(licence).endswith((".", "agree."))


def published_trackers():
    return [entry for entry in TRACKERS.all() if any(kind.official for kind in entry.networks)]


def one_of_each_size():
    """All published trackers; those with many weights in the slow part."""
    small = ("cotracker3", "echotracker", "locotrack-base")
    return [
        pytest.param(one, id=one.name, marks=() if one.name in small else pytest.mark.slow)
        for one in published_trackers()
    ]


@pytest.mark.parametrize("given", one_of_each_size())
def test_every_other_tracker_refuses_a_checkpoint_by_its_name(given, tmp_path, monkeypatch, capsys):
    names = {"tapir": "tapir-tiny", "locotrack-base": "locotrack-base-tiny"}
    stored = golden_networks.golden(names.get(given.name, given.name))
    tensors = {name: torch.zeros(shape) for name, shape in stored["tensors"].items()}
    torch.save({"state_dict": tensors}, tmp_path / "model.pt")
    del tensors
    monkeypatch.setenv("ULTRASOUND_MOTION_MODELS", str(tmp_path / "models"))
    project = given.network.official.project
    for entry in published_trackers():
        if entry.name == given.name:
            continue
        assert main(["models", "import", str(tmp_path / "model.pt"), "--as", entry.name]) == 2
        said = " ".join(capsys.readouterr().err.split())
        family = project.split()[0]  # offline and online weights of CoTracker3 have tensors of the same names
        assert f"looks like a checkpoint of {family}" in said
        assert entry.network.official.project in said
    assert not (tmp_path / "models").exists()
