"""`train` for registration: data, recipes, weights with a card, and what is refused."""

import copy
import json

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.ndimage import gaussian_filter

from training_samples import subjects
from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import write_volume
from UltrasoundMotionLib.lab.training.data.pair_settings import PairSettings
from UltrasoundMotionLib.lab.training.data.registration_pairs import (
    PairBatches,
)
from UltrasoundMotionLib.lab.training.data.registration_subjects import read_subjects
from UltrasoundMotionLib.lab.training.recipe import RECIPES
from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationRecipe
from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS
from UltrasoundMotionLib.weights import load_weights


@pytest.fixture
def task04(tmp_path):
    """A folder like MSD Task04: six training subjects and two to validate on, one blob of head and one of body each."""
    folder, random = tmp_path / "hippocampus", np.random.default_rng(1)
    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    grid = np.stack(np.meshgrid(*[np.arange(size) for size in (30, 44, 28)], indexing="ij"))
    for number in (1, 3, 4, 6, 7, 8, 306, 307):
        labels = np.zeros((30, 44, 28), np.uint8)
        for value, place in ((1, (15, 30, 14)), (2, (15, 14, 14))):
            centre = np.array(place) + random.uniform(-2, 2, 3)
            labels[((grid - centre[:, None, None, None]) ** 2).sum(0) < 36] = value
        image = gaussian_filter((labels > 0) * 100.0, 1) + random.normal(0, 3, labels.shape)
        for kind, array in (("images", image.astype(np.float32)), ("labels", labels)):
            write_volume(
                folder / kind / f"hippocampus_{number:03d}.nii.gz",
                Volume(array, (1, 1, 1), (0, 0, 0), np.diag([-1.0, -1.0, 1.0])),
            )
    return folder


@pytest.mark.training
def test_the_command_leaves_weights_with_a_card_and_resumes(task04, tmp_path, capsys):
    out = tmp_path / "out"
    command = [
        "train",
        "voxelmorph",
        "--dataset",
        "hippocampus",
        "--variant",
        "labels",
        "--data",
        str(task04),
        "--out",
        str(out),
        "--device",
        "cpu",
    ]
    command += ["--steps", "2", "--threads", "1", "--quiet"]
    assert main(command) == 0
    assert "wrote" in capsys.readouterr().out and {"log.csv", "log.png", "state.pt"} <= {
        file.name for file in out.iterdir()
    }
    weights = load_weights(out / "voxelmorph-labels-hippocampus.json")
    card = weights.card
    assert card.licence == "CC-BY-SA-4.0" and card.seed == 1 and "6 subjects" in card.trained_on[0]
    assert 0 < card.measured["validation_dice"] < 1 and "2 subjects" in card.measured_with
    assert json.loads((out / "voxelmorph-labels-hippocampus.json").read_text())["configuration"]["domain"]["shape"] == [
        48,
        64,
        48,
    ]
    assert main([*command, "--resume"]) == 0  # nothing left to do
    again = load_weights(out / "voxelmorph-labels-hippocampus.json")
    assert all(torch.equal(value, again.tensors[name]) for name, value in weights.tensors.items())
    assert again.card == card
    fixed, moving = (str(task04 / "images" / f"hippocampus_{number:03d}.nii.gz") for number in (306, 307))
    register = ["register", fixed, moving, "--method", "voxelmorph", "--out-displacement", str(tmp_path / "u.nrrd")]
    assert main([*register, "--weights", str(out / "voxelmorph-labels-hippocampus.safetensors"), "--no-refine"]) == 0
    assert (tmp_path / "u.nrrd").stat().st_size > 10_000


def test_bad_data_is_refused_by_name(task04, tmp_path, capsys):
    def error_of(*changes, data=task04):
        command = [
            "train",
            "voxelmorph",
            "--dataset",
            "hippocampus",
            "--data",
            str(data),
            "--out",
            str(tmp_path / "o"),
            "--steps",
            "1",
            "--quiet",
        ]
        assert main([*command, *changes]) == 2
        return capsys.readouterr().err

    assert main(["train", "voxelmorph", "--dataset", "hippocampus", "--out", str(tmp_path)]) == 2
    assert "--data" in capsys.readouterr().err
    assert f"{tmp_path / 'no'}: no such folder of data" in error_of(data=tmp_path / "no")
    assert "no hippocampus_*.nii.gz" in error_of(data=tmp_path)
    assert "pairs of subjects need two or more, got 1" in error_of("--subjects", "1")
    assert "variant: voxelmorph has" in error_of("--variant", "wrong")
    assert "--steps: expected a whole number from 1 on, got 0" in error_of("--steps", "0")
    assert "variant: labels is for hippocampus only" in error_of("--dataset", "cardiac", "--variant", "labels")
    image = task04 / "images" / "hippocampus_004.nii.gz"
    labels = task04 / "labels" / "hippocampus_003.nii.gz"
    values = np.full((30, 44, 28), np.nan, np.float32)
    good = labels.read_bytes()
    write_volume(labels, Volume(np.full((30, 44, 28), 7, np.uint8), (1, 1, 1), (0, 0, 0), np.eye(3)))
    assert "hippocampus_003: label 7 is none of hippocampus's, 1 head, 2 body" in error_of()
    labels.write_bytes(good)
    sitk.WriteImage(sitk.GetImageFromArray(values), str(image))
    assert f"{image}: holds {values.size} values that are not finite" in error_of()


def test_too_few_subjects_and_mixed_sizes_are_refused():
    with pytest.raises(InputError, match="s0: has one phase only"):
        PairBatches(subjects(2), PairSettings("phases"), 1)
    with pytest.raises(InputError, match="the atlas s9 is not among the 2 subjects"):
        PairBatches(subjects(2), PairSettings("atlas", atlas="s9"), 1)
    with pytest.raises(InputError, match="several sizes"):
        PairBatches(subjects(1) + subjects(1, shape=(8, 8, 8)), PairSettings(), 1)
    with pytest.raises(InputError, match="pairing: expected one of"):
        PairSettings("twins")


@pytest.mark.parametrize("name", [recipe.name for recipe in RECIPES.all() if isinstance(recipe, RegistrationRecipe)])
def test_every_recipe_is_drawn_from_the_seed(name):
    first, same, other = (RECIPES.find(name).make("hippocampus", seed=seed).objective for seed in (1, 1, 2))
    assert all(torch.equal(value, same.state_dict()[key]) for key, value in first.state_dict().items())
    assert any(not torch.equal(value, other.state_dict()[key]) for key, value in first.state_dict().items())
    assert copy.deepcopy(first).name.endswith("-hippocampus") and json.dumps(first.configuration())


def test_the_public_hippocampi_are_read(shared_data):
    found = read_subjects("hippocampus", shared_data("hippocampus"), "validation", HIPPOCAMPUS, most=1)
    arrays = found[0].phases[0]
    assert (
        arrays.image.shape == (48, 64, 48)
        and arrays.image.dtype == np.float16
        and set(np.unique(arrays.labels)) == {0, 1, 2}
    )
    assert arrays.image.min() == 0 and arrays.image.max() == 1
