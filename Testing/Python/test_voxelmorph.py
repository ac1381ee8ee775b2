"""VoxelMorph: its network's fields, what it is trained by, that it learns, and the method and SSMSR's ablation that use
its weights.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import compose, jacobian_measures, read_displacement
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import write_volume
from UltrasoundMotionLib.lab.training.data.pair_settings import PairSettings
from UltrasoundMotionLib.lab.training.data.registration_pairs import (
    LabelledArrays,
    PairBatches,
    RegistrationBatch,
    TrainingSubject,
    pair_list,
)
from UltrasoundMotionLib.lab.training.objectives.voxelmorph import VoxelMorphLoss, VoxelMorphObjective
from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationPlan, registration_card
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.lab.training.trained_weights import save_trained
from UltrasoundMotionLib.lab.training.trainer import train
from UltrasoundMotionLib.registration import register
from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS
from UltrasoundMotionLib.registration.methods.instance import InstanceSettings
from UltrasoundMotionLib.registration.methods.multiscale.settings import SsrSettings, published_ablation
from UltrasoundMotionLib.registration.methods.voxelmorph import VOXELMORPH, VoxelMorphSettings
from UltrasoundMotionLib.registration.methods.voxelmorph.network import VoxelMorph, VoxelMorphConfig
from UltrasoundMotionLib.weights import load_network

SMALL = {"encoder": (8, 8), "decoder": (8, 8, 8, 8)}
FLAT = VoxelMorphConfig(dimension=2, output="velocity", full_size=False, encoder=(8, 8), decoder=(8, 8, 8))
TINY = replace(HIPPOCAMPUS, labels={1: "head", 2: "body"})

pytestmark = pytest.mark.usefixtures("without_searches")


def blobs(seed, shape=(32, 32)):
    """An image of a bright and a grey disc in places of their own, and their labels."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]]
    labels = np.zeros(shape, np.uint8)
    for value, middle in ((1, (11, 11)), (2, (20, 20))):
        centre = np.array(middle) + random.uniform(-2.5, 2.5, 2)
        labels[(y - centre[0]) ** 2 + (x - centre[1]) ** 2 < 20] = value
    image = gaussian_filter(np.array([0.1, 1.0, 0.6])[labels], 1)
    return LabelledArrays(image.astype(np.float16), labels)


def batch_of(first, second):
    images = [torch.from_numpy(one.image).float()[None, None] for one in (first, second)]
    return RegistrationBatch(*images, *(torch.from_numpy(one.labels).long()[None] for one in (first, second)))


def test_a_velocity_gives_both_directions_and_they_undo_each_other():
    torch.manual_seed(0)
    raw = torch.nn.functional.interpolate(torch.randn(1, 2, 4, 4), size=(16, 16), mode="bicubic")
    network = VoxelMorph(FLAT)
    there, back = network.displacement(raw, (32, 32)), network.displacement(raw, (32, 32), backward=True)
    inside = compose(there, back)[:, :, 6:-6, 6:-6]
    assert inside.abs().max() < 0.25 and there.abs().max() > 2  # voxels
    assert jacobian_measures(there).share_nonpositive == 0
    image = torch.rand(1, 1, 32, 32)
    assert (
        network(image, image).shape == (1, 2, 32, 32) and network(image, image).abs().max() < 0.05
    )  # untrained: nearly at rest
    with pytest.raises(InputError, match="both directions need output 'velocity'"):
        VoxelMorphObjective(VoxelMorphConfig(dimension=2), VoxelMorphLoss(symmetric=True), "x", TINY)


def test_the_loss_is_its_parts():
    torch.manual_seed(0)
    batch = batch_of(blobs(1), blobs(2))
    loss = VoxelMorphLoss(lncc=1.0, mse=3.0, smoothness=0.7, labels=2.0, window=5, symmetric=True)
    objective = VoxelMorphObjective(FLAT, loss, "x", TINY)
    found = {name: float(value.detach()) for name, value in objective.losses(batch, 0).items()}
    assert found["total"] == pytest.approx(
        found["lncc"] + 3 * found["mse"] + 0.7 * found["smoothness"] + 2 * found["labels"], abs=1e-6
    )
    # at rest: plain differences of both images and the plain overlap
    assert found["mse"] == pytest.approx(float((batch.fixed - batch.moving).square().mean()), abs=1e-5)
    overlaps = []
    for value in (1, 2):
        one, two = batch.fixed_labels == value, batch.moving_labels == value
        overlaps.append(2 * float((one & two).sum()) / float(one.sum() + two.sum()))
    assert found["labels"] == pytest.approx(1 - np.mean(overlaps), abs=1e-4)
    raw = objective.network.raw_field(batch.fixed, batch.moving)
    field = raw.detach().numpy()[0]
    squares = sum((np.diff(field, axis=axis) ** 2).sum() for axis in (1, 2)) / field.size / 2
    assert found["smoothness"] == pytest.approx(squares, rel=1e-4)
    with torch.no_grad():
        halved = VoxelMorphObjective(FLAT, replace(loss, half_size=True), "x", TINY).losses(batch, 0)
    pooled = torch.nn.functional.avg_pool2d(batch.fixed - batch.moving, 2).square().mean()
    assert float(halved["mse"]) == pytest.approx(float(pooled), abs=1e-5)
    with torch.no_grad():
        identical = objective.losses(batch_of(blobs(1), blobs(1)), 0)
    assert float(identical["labels"]) < 1e-3 and float(identical["mse"]) < 1e-5


@pytest.mark.training
def test_training_without_labels_raises_their_overlap(tmp_path):
    torch.manual_seed(0)
    objective = VoxelMorphObjective(
        FLAT, VoxelMorphLoss(lncc=0.0, mse=10.0, smoothness=0.02, symmetric=True), "x", TINY
    )
    people = [TrainingSubject(f"s{seed}", (blobs(seed),)) for seed in range(24)]
    settings, batch = TrainingSettings(steps=120, learning_rate=1e-2, mixed_precision=False), PairSettings(size=4)
    batches, cases = PairBatches(people[:18], batch, settings.seed), pair_list(people[18:], batch)
    found = train(tmp_path, objective, batches, settings, cases=cases)
    assert found["dice_before"] < 0.7 and found["dice"] > found["dice_before"] + 0.12 and found["folding_percent"] < 0.5


def card_of(objective):
    plan = RegistrationPlan(objective, PairSettings(), TrainingSettings(steps=1))
    return registration_card(plan, "hippocampus", subjects=2, command="none", validation_subjects=1)


@pytest.fixture
def saved(tmp_path):
    """Writes weights of a network whose field is the same everywhere: the last convolution's bias."""

    def save(bias=(0.0, 0.0, 0.0), name="voxelmorph-hippocampus", **settings):
        torch.manual_seed(0)
        objective = VoxelMorphObjective(VoxelMorphConfig(**settings), VoxelMorphLoss(), name, HIPPOCAMPUS)
        with torch.no_grad():
            objective.network.unet.field.weight.zero_()
            objective.network.unet.field.bias.copy_(torch.tensor(bias))
        save_trained(tmp_path, objective, card_of(objective), {"dice": 0.5})
        return tmp_path / f"{name}.json"

    return save


def hippocampus_like(seed, direction=None):
    random = np.random.default_rng(seed)
    array = gaussian_filter(random.random((36, 50, 34)), 2).astype(np.float32)
    return Volume(
        array, (1.0, 1.0, 1.0), (5.0, -3.0, 2.0), np.diag([-1.0, -1.0, 1.0]) if direction is None else direction
    )


def test_the_method_brings_the_field_to_the_image(saved):
    card = saved(bias=(1.0, -2.0, 0.5), **SMALL)
    settings = VoxelMorphSettings(model=str(card))
    # the domain is RAS: its x points to the patient's right, LPS -x, its y forward, LPS -y
    for direction in (None, np.eye(3), np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, -1]])):
        fixed, moving = hippocampus_like(1, direction), hippocampus_like(2, direction)
        found = register(fixed, moving, method="voxelmorph", config=settings, initial_transform=None).displacement
        middle = tuple(slice(size // 2 - 5, size // 2 + 5) for size in fixed.array.shape)
        assert np.abs(found.displacement_mm[middle] - [-1.0, 2.0, 0.5]).max() < 1e-4


def test_weights_of_the_user_are_used_from_python_and_the_command_line(saved, tmp_path, capsys):
    card = saved(name="mine", bias=(1.0, -2.0, 0.5), **SMALL)
    fixed, moving = hippocampus_like(1), hippocampus_like(2)
    expected = register(fixed, moving, method="voxelmorph", settings={"model": str(card)}, device="cpu")
    for weights in (card, card.with_suffix(".safetensors")):
        found = register(fixed, moving, method="voxelmorph", weights=weights, device="cpu")
        np.testing.assert_array_equal(found.displacement.displacement_mm, expected.displacement.displacement_mm)
        assert any("weights mine: licence" in note for note in found.notes)
    for name, image in (("fixed", fixed), ("moving", moving)):
        write_volume(tmp_path / f"{name}.nrrd", image)
    words = ["register", str(tmp_path / "fixed.nrrd"), str(tmp_path / "moving.nrrd"), "--quiet"]
    words += ["--out-displacement", str(tmp_path / "u.nrrd"), "--weights", str(card.with_suffix(".safetensors"))]
    assert main([*words, "--method", "voxelmorph"]) == 0
    written = read_displacement(tmp_path / "u.nrrd").displacement_mm
    np.testing.assert_array_equal(written, expected.displacement.displacement_mm)
    for method, reason in (
        ("ltnet", "weights mine: are of VoxelMorph, not LtNet"),
        ("demons", "the method demons needs none"),
    ):
        assert main([*words, "--method", method]) == 2
        assert reason in capsys.readouterr().err
    card.unlink()
    assert main([*words, "--method", "voxelmorph"]) == 2
    assert "mine.safetensors: has no card mine.json beside it" in capsys.readouterr().err


@pytest.mark.slow
def test_refinement_starts_where_the_network_ends(saved):
    """Of images that are the same but for a shift, which the network knows: nearly nothing is left to be done in a few
    iterations.
    """
    card = saved(bias=(2.0, 0.0, 0.0), **SMALL)
    array = gaussian_filter(np.random.default_rng(1).random((36, 50, 44)), 1.5).astype(np.float32)
    fixed = Volume(array[:, :, 5:39].copy(), (1.0, 1.0, 1.0), (5.0, -3.0, 2.0), np.diag([-1.0, -1.0, 1.0]))
    moving = replace(fixed, array=array[:, :, 2:36].copy())  # three voxels along x; the network finds two of them
    short = InstanceSettings(scales=(1,), iterations=(12,), control_strides=(2,), learning_rate=0.1)
    errors = {}
    for name, settings in {"network": {}, "refined": {"refine": True}}.items():
        config = VoxelMorphSettings(model=str(card), refinement=short, **settings)
        found = register(
            fixed, moving, method="voxelmorph", config=config, initial_transform=None
        ).displacement.displacement_mm
        errors[name] = np.abs(found[10:-10, 10:-10, 10:-10] - [-3.0, 0, 0]).mean()
    assert errors["network"] == pytest.approx(1 / 3, abs=0.01) and errors["refined"] < 0.7 * errors["network"]


def test_images_no_model_is_for_are_refused(saved, tmp_path):
    card = saved(**SMALL)
    large = Volume(
        gaussian_filter(np.random.default_rng(1).random((40, 64, 64)), 2).astype(np.float32),
        (3.0, 3.0, 3.0),
        (0, 0, 0),
        np.eye(3),
    )
    with pytest.raises(InputError, match=r"too coarse for models of T1 MRI.*use method='instance'"):
        register(
            large,
            replace(large, array=large.array[::-1].copy()),
            method="voxelmorph",
            config=VoxelMorphSettings(model=str(card)),
        )
    with pytest.raises(InputError, match=r"use method='instance'"):
        register(large, replace(large, array=large.array[::-1].copy()), method="voxelmorph")
    with pytest.raises(InputError, match="no weights of that name"):
        register(
            hippocampus_like(1),
            hippocampus_like(2),
            method="voxelmorph",
            config=VoxelMorphSettings(model="voxelmorph-nothing"),
        )
    changed = card.read_text().replace('"VoxelMorph"', '"LtNet"')
    card.write_text(changed)
    with pytest.raises(InputError, match="are of LtNet, not VoxelMorph"):
        load_network(card, VOXELMORPH)


@pytest.mark.slow
def test_the_papers_row_takes_the_same_weights(saved):
    """`ssr` without test-time training and `voxelmorph` are one network; on the domain's own grid their fields are the
    same.
    """
    card = saved()
    objective = VoxelMorphObjective(VoxelMorphConfig(), VoxelMorphLoss(), "trained", HIPPOCAMPUS)
    torch.nn.init.normal_(objective.network.unet.field.weight, std=0.5)
    save_trained(card.parent, objective, card_of(objective), {})
    card = card.with_name("trained.json")
    fixed, moving = (
        Volume(
            gaussian_filter(np.random.default_rng(seed).random((48, 64, 48)), 2).astype(np.float32),
            (1, 1, 1),
            (0, 0, 0),
            np.diag([-1.0, -1.0, 1.0]),
        )
        for seed in (1, 2)
    )
    row = published_ablation(3, weights=card)["VoxelMorph"]
    one = register(fixed, moving, method="ssr", config=row, initial_transform=None).displacement.displacement_mm
    other = register(
        fixed, moving, method="voxelmorph", config=VoxelMorphSettings(model=str(card)), initial_transform=None
    ).displacement.displacement_mm
    assert np.abs(one).max() > 0.1 and np.abs(one - other).max() < 1e-3
    by_setting, by_weights = (
        register(fixed, moving, method="ssr", initial_transform=None, **given).displacement.displacement_mm
        for given in ({"settings": {"steps": 1, "weights": card}}, {"settings": {"steps": 1}, "weights": card})
    )
    np.testing.assert_array_equal(by_weights, by_setting)
    diffeomorphic = saved(name="other", output="velocity", **SMALL)
    with pytest.raises(InputError, match="gives no displacement of images in"):
        register(fixed, moving, method="ssr", config=SsrSettings(weights=diffeomorphic, steps=0))
