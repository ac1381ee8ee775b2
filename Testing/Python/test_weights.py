"""Weights and their cards: what is written is what is loaded, and nothing else is."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.weights import ModelCard, check_weights, load_weights, read_card, save_weights, shipped_cards

CARD = ModelCard(
    name="tiny",
    architecture="Linear",
    configuration={"in_features": 3, "out_features": 2},
    task="maps three numbers to two",
    trained_on=("nothing: drawn at random, seed 0",),
    command="none",
    seed=0,
    commit="0000000",
    measured={"mean_error_px": 1.5},
    measured_with="none",
    limits="a test",
)


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    return network, tmp_path / "tiny.json", save_weights(tmp_path, network.state_dict(), CARD)


def test_weights_and_card_come_back_as_they_were_written(saved):
    network, path, card = saved
    assert card == replace(CARD, sha256=card.sha256) == check_weights(path) == read_card(path)
    other = torch.nn.Linear(3, 2)
    load_weights(path).put_into(other)
    for name, value in network.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_one_changed_bit_is_found(saved):
    _, path, _ = saved
    weights = path.with_suffix(".safetensors")
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(InputError, match=r"tiny\.safetensors: damaged, or not the weights of its card"):
        load_weights(path)


def test_missing_weights_and_weights_of_another_network_are_named(saved):
    _, path, _ = saved
    with pytest.raises(
        InputError, match=r"weights tiny: weight is \(2, 3\), the network Linear of its card needs \(2, 4\)"
    ):
        load_weights(path).put_into(torch.nn.Linear(4, 2))
    path.with_suffix(".safetensors").unlink()
    with pytest.raises(InputError, match=r"tiny\.safetensors: the weights of tiny are missing"):
        check_weights(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda values: values.pop("seed"), "lacks seed"),
        (lambda values: values.update(seed="one"), "seed of the model card must be a int"),
        (lambda values: values.update(colour="red"), "has no field colour"),
        (lambda values: values.update(sha256="abc"), "64 hexadecimal digits"),
    ],
)
def test_a_wrong_card_is_refused_in_one_line(saved, change, said):
    _, path, _ = saved
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(InputError, match=said) as caught:
        read_card(path)
    assert "\n" not in str(caught.value)
    path.write_text("{")
    with pytest.raises(InputError, match="no readable model card"):
        read_card(path)


def test_shipped_weights_are_those_of_their_cards():
    for path in shipped_cards():
        card = check_weights(path)
        assert card.name == path.stem
        assert card.trained_on
        assert card.measured
        assert all(np.isfinite(value) for value in card.measured.values())


@pytest.mark.parametrize("layout", ["checkout", "slicer", "pip", "pip --target"])
def test_the_models_are_found_however_the_library_is_installed(tmp_path, layout):
    """Copies of the package laid out as each installation lays it out; a fresh interpreter must find the same card."""
    library = Path(__file__).resolve().parents[2] / "UltrasoundMotionLib"
    packages = tmp_path / "lib" / "site-packages"
    (packages / "UltrasoundMotionLib" / "weights").mkdir(parents=True)
    for file in (*library.glob("*.py"), *library.glob("weights/*.py")):
        (packages / "UltrasoundMotionLib" / file.relative_to(library)).write_bytes(file.read_bytes())
    folder = {
        "checkout": packages / "Resources" / "Models",
        "slicer": packages / "UltrasoundMotionLib" / "weights" / "models",
        "pip --target": packages / "share" / "ultrasound-motion" / "models",
        "pip": tmp_path / "share" / "ultrasound-motion" / "models",
    }[layout]
    folder.mkdir(parents=True)
    save_weights(folder, torch.nn.Linear(3, 2).state_dict(), CARD)
    if layout == "pip":
        information = packages / "ultrasound_motion-0.1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: ultrasound-motion\nVersion: 0.1.0\n")
        (information / "RECORD").write_text("../../share/ultrasound-motion/models/tiny.json,,\n")
    code = (
        "from UltrasoundMotionLib.weights import find_card, check_weights; print(check_weights(find_card('tiny')).name)"
    )
    environment = {**os.environ, "PYTHONPATH": str(packages)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.stdout.strip() == "tiny", done.stderr


@pytest.mark.slow
def test_models_clear_says_that_there_is_nothing_to_remove_and_removes_nothing(capsys):
    before = shipped_cards()
    assert main(["models", "clear"]) == 0
    assert "nothing to clear" in capsys.readouterr().out
    assert shipped_cards() == before


@pytest.mark.slow
def test_models_show_prints_the_card(capsys):
    if not shipped_cards():
        pytest.skip("no weights are installed")
    card = read_card(shipped_cards()[0])
    assert main(["models", "show", card.name]) == 0
    said = capsys.readouterr().out
    assert card.sha256 in said
    assert all(source in said for source in card.trained_on)
