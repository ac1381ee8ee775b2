"""The experiments of Zhu et al. on small drawn data in the layout of the real ones."""

import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.lab import registration_datasets
from UltrasoundMotionLib.lab.benchmarks.ssmsr.atlases import most_similar_when_registered
from UltrasoundMotionLib.lab.benchmarks.ssmsr.published import SSMSR, SSR, TABLE_1, VOXELMORPH
from UltrasoundMotionLib.lab.benchmarks.ssmsr.segmentation import SegmentationOptions, split_subjects
from UltrasoundMotionLib.registration.methods.multiscale.weights import write_weights
from UltrasoundMotionLib.registration.methods.voxelmorph.unet import ResidualUNet

torch.set_num_threads(1)

SHAPE = (16, 18, 14)


@pytest.fixture
def hippocampi(tmp_path, monkeypatch):
    """Ten drawn subjects with labels 1 and 2, on a grid far smaller than the hippocampi's."""
    monkeypatch.setattr(registration_datasets, "HIPPOCAMPUS_SHAPE", (16, 20, 16))
    folder = tmp_path / "Task04"
    random = np.random.default_rng(5)
    for place in ("images", "labels"):
        (folder / place).mkdir(parents=True)
    for number in (1, 2, 3, 4, 5, 6, 7, 8, 310, 311):
        labels = np.zeros(SHAPE, np.uint8)
        top, left = random.integers(3, 6, 2)
        labels[4:8, top : top + 6, left : left + 5] = 1
        labels[8:12, top : top + 6, left : left + 5] = 2
        image = gaussian_filter(200.0 * labels + 40 * random.normal(size=SHAPE), 1.0).astype(np.float32)
        for place, array in (("images", image), ("labels", labels)):
            sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / place / f"hippocampus_{number:03d}.nii.gz"))
    return folder


def test_a_fifth_of_the_subjects_is_tested_and_no_subject_twice(hippocampi):
    training, test = split_subjects(hippocampi, SegmentationOptions())
    assert (len(training), len(test)) == (8, 2)
    assert not set(training) & set(test)
    assert split_subjects(hippocampi, SegmentationOptions()) == (training, test)
    training, test = split_subjects(hippocampi, SegmentationOptions(part="validation", subjects=3))
    assert training == ("hippocampus_001", "hippocampus_002", "hippocampus_003")
    assert test == ("hippocampus_310", "hippocampus_311")


def test_the_atlas_is_the_most_similar_after_registration(hippocampi, tmp_path):
    """A network that moves everything by three voxels makes the image that lies three voxels aside the most similar."""
    network = ResidualUNet(3)
    torch.nn.init.zeros_(network.field.weight)
    network.field.bias.data = torch.tensor([3.0, 0.0, 0.0])
    write_weights(tmp_path / "shift.safetensors", [network.state_dict()])
    one = registration_datasets.read_hippocampus(hippocampi, "hippocampus_001")
    near, aside = (
        registration_datasets.LabelledImage(
            type(one.image)(np.roll(one.image.array, shift, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), np.eye(3)), one.labels
        )
        for shift in (1, 3)
    )
    found = most_similar_when_registered("fixed", one, {"near": near, "aside": aside}, tmp_path / "shift.safetensors")
    assert found.atlas == "aside"
    assert found.nlcc > 0.7


def test_table_1_is_made_by_one_command_and_goes_on_where_it_ended(hippocampi, tmp_path, capsys):
    out, report = tmp_path / "run", tmp_path / "t.json"
    command = ["benchmark", "ssmsr-segmentation", "--data", str(hippocampi), "--out", str(out), "--part", "validation"]
    command += ["--steps", "2", "--training-steps", "2", "--json", str(report), "--device", "cpu"]
    names = ["unregistered", VOXELMORPH, "NeurReg", SSR, "SSMSR (1/2)", SSMSR, "ours:demons"]
    assert main([*command, "--methods", *names]) == 0
    assert "skipped" not in capsys.readouterr().out
    methods = {one["method"]: one["pairs"] for one in json.loads(report.read_text())["methods"]}
    assert list(methods) == names
    assert len({pair["pair"] for pairs in methods.values() for pair in pairs}) == 2  # the same atlases for all
    for name in names:
        assert len(methods[name]) == 2
        assert 0 < methods[name][0]["dice"]["head"] <= 1
    before = (out / "rows.jsonl").read_text()
    assert main([*command, "--methods", *names]) == 0
    assert (out / "rows.jsonl").read_text() == before
    table = capsys.readouterr().out
    assert f"{TABLE_1[SSMSR][2]:.2f}" in table
    assert main([*command[:-2], "--methods", SSMSR, "--against", "greedy"]) == 2
    assert "greedy" in capsys.readouterr().err


def test_a_peer_that_is_not_installed_is_a_row(hippocampi, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    command = ["benchmark", "ssmsr-segmentation", "--data", str(hippocampi), "--out", str(tmp_path / "run")]
    command += ["--training-steps", "1", "--images", "1", "--methods", "NiftyReg", "--device", "cpu"]
    assert main(command) == 0
    assert "skipped: comparing with NiftyReg needs reg_f3d, reg_transform" in capsys.readouterr().out
