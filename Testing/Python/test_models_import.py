"""Weights that were trained or made elsewhere: imported with a card, used by name and by path, refused when unfit."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from UltrasoundMotionLib import track_points
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images import ImageSequence
from UltrasoundMotionLib.weights import find_card, models_folder, read_card


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    folder = tmp_path / "models"
    monkeypatch.setenv("ULTRASOUND_MOTION_MODELS", str(folder))
    return folder


def clip():
    frames = np.random.default_rng(1).integers(0, 255, (3, 96, 96)).astype(np.uint8)
    return ImageSequence(np.repeat(frames[:1], 3, axis=0))


def shipped():
    return load_file(models_folder() / "siamfc.safetensors")


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_imported_weights_track_as_the_originals(tmp_path, user_folder, capsys, ending):
    checkpoint = tmp_path / f"mine.{ending}"
    if ending == "pt":
        renamed = {f"module.{name}": value for name, value in shipped().items()}
        torch.save({"model": renamed, "optimizer": {"step": torch.tensor(3)}, "epoch": 4}, checkpoint)
    else:
        save_file(shipped(), checkpoint)
    assert main(["models", "import", str(checkpoint), "--as", "siamfc", "--licence", "MIT"]) == 0
    assert "--weights mine" in capsys.readouterr().out
    card = read_card(find_card("mine"))
    assert (card.licence, card.architecture, card.measured) == ("MIT", "SiamFcNetwork", {})
    points = [[40.0, 40.0]]
    expected = track_points(clip(), points, model="siamfc", device="cpu", hide_graphics=False)
    for weights in ("mine", user_folder / "mine.safetensors", user_folder / "mine.json"):
        found = track_points(clip(), points, model="siamfc", weights=weights, device="cpu", hide_graphics=False)
        np.testing.assert_array_equal(found.positions_px, expected.positions_px)
    assert main(["models", "list"]) == 0
    assert str(user_folder / "mine.safetensors") in capsys.readouterr().out
    assert main(["models", "import", str(checkpoint), "--as", "siamfc"]) == 2
    assert "weights named mine are installed already" in capsys.readouterr().err


def test_unfit_checkpoints_are_refused_by_name(tmp_path, user_folder, capsys):
    other = tmp_path / "other.safetensors"
    save_file({"layer.weight": torch.zeros(3)}, other)
    assert main(["models", "import", str(other), "--as", "siamfc"]) == 2
    assert "is missing, the network SiamFcNetwork of its card needs" in capsys.readouterr().err.replace("\n", " ")
    assert not user_folder.exists() or not list(user_folder.iterdir())

    class Harmful:
        def __reduce__(self):
            return (open, (str(tmp_path / "run"), "w"))

    harmful = tmp_path / "harmful.pt"
    harmful.write_bytes(pickle.dumps(Harmful()))
    assert main(["models", "import", str(harmful), "--as", "siamfc"]) == 2
    assert "could run code" in capsys.readouterr().err and not (tmp_path / "run").exists()
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes((models_folder() / "siamfc.safetensors").read_bytes()[:5000])
    assert main(["models", "import", str(truncated), "--as", "siamfc"]) == 2
    assert "truncated.safetensors: no safetensors file" in capsys.readouterr().err
    assert main(["models", "import", str(truncated), "--as", "lucas-kanade"]) == 2
    assert "lucas-kanade needs no weights" in capsys.readouterr().err


def test_weights_without_a_card_say_how_to_make_one(tmp_path, user_folder):
    lonely = tmp_path / "lonely.safetensors"
    save_file(shipped(), lonely)
    with pytest.raises(InputError, match=r"has no card lonely.json beside it; `ultrasound-motion models import"):
        track_points(clip(), [[40.0, 40.0]], model="siamfc", weights=lonely, device="cpu")
    (tmp_path / "lonely.json").write_text(json.dumps({"name": "lonely"}))
    with pytest.raises(InputError, match="the model card lacks architecture"):
        track_points(clip(), [[40.0, 40.0]], model="siamfc", weights=lonely, device="cpu")
    with pytest.raises(InputError, match="are of SpeckNet, not SiamFcNetwork"):
        track_points(clip(), [[40.0, 40.0]], model="siamfc", weights="specknet", device="cpu")
