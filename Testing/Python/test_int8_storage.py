"""Weights kept as int8: what is read back, what networks answer with it, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from test_siamese import CPU, SMALL, centred, moved, speckle
from test_training_landmarks import clust_folder
from test_weights import CARD
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.trained_weights import read_weights
from UltrasoundMotionLib.tracking.trackers.siamese.siamfc import SiamFcConfig, SiamFcTracker
from UltrasoundMotionLib.tracking.trackers.siamese.siamfc_network import SiamFcNetwork, SiamFcNetworkConfig
from UltrasoundMotionLib.weights import check_weights, load_weights, save_weights
from UltrasoundMotionLib.weights.checkpoint_file import read_tensors
from UltrasoundMotionLib.weights.int8_storage import to_int8


def network():
    torch.manual_seed(4)
    return centred(SiamFcNetwork(SiamFcNetworkConfig(SMALL)))


def test_no_weight_changes_by_more_than_half_a_step_of_its_own_channel():
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(6, 8, 5, 5, generator=generator) * 10.0 ** torch.arange(-3.0, 3.0).reshape(-1, 1, 1, 1)
    weight[4] = 0
    entries = to_int8(
        {"weight": weight, "bias": weight[:, 0, 0, 0], "count": torch.tensor(3), "small": torch.ones(2, 2)}
    )
    assert entries["weight"].dtype == torch.int8 and entries["weight:scale"].shape == (6,)
    assert "bias:scale" not in entries and "small:scale" not in entries and entries["count"] == 3
    for channel in range(6):  # written out, a channel at a time
        largest = float(weight[channel].abs().max())
        for kept, value in zip(entries["weight"][channel].flatten(), weight[channel].flatten(), strict=True):
            assert abs(float(kept) * largest / 127 - float(value)) <= largest / 254 * 1.001


def test_a_file_of_int8_is_a_quarter_as_large_and_read_as_float32_wherever_weights_are_read(tmp_path):
    one = network()
    cards = []
    for kind in ("float32", "int8"):
        (tmp_path / kind).mkdir()
        cards.append(save_weights(tmp_path / kind, one.state_dict(), CARD, store=kind))
    plain, packed = cards
    sizes = [(tmp_path / kind / "tiny.safetensors").stat().st_size for kind in ("float32", "int8")]
    assert sizes[1] < 0.5 * sizes[0]  # of a network as small as this, with its names
    assert plain.sha256 != packed.sha256 == check_weights(tmp_path / "int8" / "tiny.json").sha256
    path = tmp_path / "int8" / "tiny.safetensors"
    again = load_weights(path.with_suffix(".json")).tensors
    assert {value.dtype for value in again.values()} == {torch.float32, torch.int64}
    for read in (read_tensors(path), read_weights(path), read_weights(path.with_suffix(".json"))):
        assert set(read) == set(one.state_dict()) and all(torch.equal(read[name], again[name]) for name in read)
    # what was read and is written again is the same file
    assert save_weights(tmp_path / "int8", again, CARD, store="int8").sha256 == packed.sha256


def test_files_without_scales_are_read_as_they_are(tmp_path):
    tensors = {"half": torch.ones(40, 40, dtype=torch.float16), "int": torch.ones(40, 40, dtype=torch.int8)}
    save_weights(tmp_path, tensors, CARD)
    again = load_weights(tmp_path / "tiny.json").tensors
    assert {name: value.dtype for name, value in again.items()} == {"half": torch.float16, "int": torch.int8}


def test_responses_change_by_less_than_two_percent_and_tracks_by_less_than_a_tenth_of_a_pixel(tmp_path):
    plain, packed = network(), network()
    save_weights(tmp_path, plain.state_dict(), CARD, store="int8")
    load_weights(tmp_path / "tiny.json").put_into(packed)
    texture = speckle(256, seed=2)
    windows = torch.tensor(texture)[None, None, :255, :255] / 200
    with torch.no_grad():
        first, second = (one(windows[:, :, 64:191, 64:191], windows) for one in (plain, packed))
    assert float((first - second).square().mean().sqrt() / first.std()) < 0.02
    points = np.array([[90.0, 110.0], [150.25, 160.5], [130.0, 90.0]])
    trackers = [SiamFcTracker(one, SiamFcConfig(window_influence=0.05), CPU) for one in (plain, packed)]
    for tracker in trackers:
        tracker.start(texture, points)
    for frame in range(1, 7):
        image = moved(texture, np.array([9 * np.sin(frame / 4), 4 * np.sin(frame / 5)]))
        found = [tracker.update(image).positions_px for tracker in trackers]
        assert np.abs(found[0] - found[1]).max() < 0.1


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda entries: entries.pop("weight"), r"scales \(32,\) of weight do not fit its int8 values \(missing\)"),
        (lambda entries: entries.update({"weight:scale": torch.ones(3)}), r"scales \(3,\) of weight do not fit"),
        (lambda entries: entries.update(weight=entries["weight"].float()), r"int8 values \(float32 \(32, 32\)\)"),
        (lambda entries: entries["weight:scale"].fill_(float("nan")), "must be finite numbers from 0 on"),
        (lambda entries: entries["weight:scale"].fill_(-1), "must be finite numbers from 0 on"),
    ],
)
def test_scales_that_do_not_fit_are_refused_in_one_line(tmp_path, change, complaint):
    save_weights(tmp_path, {"weight": torch.randn(32, 32)}, CARD, store="int8")
    path = tmp_path / "tiny.safetensors"
    entries = load_file(path)
    change(entries)
    save_file(entries, path)
    with pytest.raises(InputError, match=complaint) as caught:
        read_tensors(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_weights_that_are_no_numbers_are_not_rounded_and_unknown_forms_are_refused(tmp_path):
    broken = torch.full((32, 32), float("nan"))
    assert to_int8({"weight": broken})["weight"] is broken
    with pytest.raises(InputError, match="store must be one of float32, int8, got 'int4'"):
        save_weights(tmp_path, {}, replace(CARD, name="x"), store="int4")


@pytest.mark.training
def test_a_training_writes_int8_and_its_card_says_so(tmp_path):
    folder, out = clust_folder(tmp_path / "CIL-01"), tmp_path / "out"
    words = ["train", "siamfc", "--clust", str(folder), "--phantoms", "0", "--out", str(out), "--quiet"]
    words += ["--steps", "1", "--validate-every", "0", "--device", "cpu"]
    assert main([*words, "--store", "int8"]) == 0
    entries = load_file(out / "siamfc.safetensors")
    assert entries["embedding.0.weight"].dtype == torch.int8
    assert "--store int8" in json.loads((out / "siamfc.json").read_text())["command"]
    # the form of the file is no setting of the run: the state goes on, in float32 now
    assert main([*words, "--resume"]) == 0
    assert load_file(Path(out / "siamfc.safetensors"))["embedding.0.weight"].dtype == torch.float32
