"""The pyramid network: its symmetry, what it is trained by, that it learns, and the method that uses weights of one's
own.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import compose, jacobian_measures
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.training.data.pair_settings import Augmentation, PairAugmentation, PairSettings
from UltrasoundMotionLib.lab.training.data.registration_pairs import (
    LabelledArrays,
    PairBatches,
    TrainingSubject,
    pair_list,
)
from UltrasoundMotionLib.lab.training.data.synthetic_pairs import SyntheticPairs, SyntheticPairSettings
from UltrasoundMotionLib.lab.training.objectives.pyramid import PyramidLoss, PyramidObjective
from UltrasoundMotionLib.lab.training.recipe import RECIPES
from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationPlan, registration_card
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.lab.training.trained_weights import save_trained
from UltrasoundMotionLib.lab.training.trainer import train
from UltrasoundMotionLib.registration import find_method, register
from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS
from UltrasoundMotionLib.registration.methods.instance import InstanceSettings
from UltrasoundMotionLib.registration.methods.pyramid import PyramidSettings
from UltrasoundMotionLib.registration.methods.pyramid.network import (
    CARDIAC_PYRAMID,
    HIPPOCAMPUS_PYRAMID,
    PyramidConfig,
    PyramidNetwork,
    correlation,
)

SMALL = PyramidConfig(channels=(8, 8), features=8, hidden=8)

pytestmark = pytest.mark.usefixtures("without_searches")


def network_of(config, *, lively=0.0):
    """A network of random weights; `lively` makes its fields larger than those of an untrained one."""
    torch.manual_seed(0)
    network = PyramidNetwork(config)
    with torch.no_grad():
        for layer in network.field:
            layer.weight.normal_(std=lively or 1e-3)
    return network


@pytest.mark.parametrize("config", [HIPPOCAMPUS_PYRAMID, CARDIAC_PYRAMID])
@torch.no_grad()
def test_images_that_change_their_roles_get_the_inverse(config):
    network = network_of(config, lively=0.01)
    shape = (16, 24, 20) if config is HIPPOCAMPUS_PYRAMID else (5, 44, 36)  # no multiples of the levels
    generator = torch.Generator().manual_seed(1)
    fixed, moving = (torch.rand(1, 1, *shape, generator=generator) for _ in range(2))
    features = [network.features(image) for image in (fixed, moving)]
    velocity = network.velocity(*features)
    assert torch.equal(velocity, -network.velocity(*features[::-1])) and velocity.abs().max() > 0.1
    there, back = network(fixed, moving), network(moving, fixed)
    assert there.shape == (1, 3, *shape)
    assert compose(there, back).abs().mean() < 0.15 * there.abs().mean()
    assert jacobian_measures(there).share_nonpositive == 0
    assert network(fixed, fixed).abs().max() == 0  # an image is at rest with itself


def test_an_untrained_network_leaves_images_nearly_as_they_are_and_its_maps_have_their_size():
    network, image = network_of(SMALL), torch.rand(2, 1, 9, 10, 11)
    with torch.no_grad():
        assert network(image, image.flip(0)).abs().max() < 0.1
        assert network.logits(network.features(image), (9, 10, 11)).shape == (2, 3, 9, 10, 11)


def test_weights_fit_into_a_megabyte_of_bytes():
    for config in (HIPPOCAMPUS_PYRAMID, CARDIAC_PYRAMID):
        assert sum(value.numel() for value in PyramidNetwork(config).parameters()) < 1_000_000


def test_features_are_correlated_with_the_voxels_around():
    first, second = torch.rand(1, 4, 3, 4, 5), torch.rand(1, 4, 3, 4, 5)
    found = correlation(first, second, (0, 1, 1))
    assert found.shape == (1, 9, 3, 4, 5)
    expected = (first[0, :, 1, 2, 3] * second[0, :, 1, 1, 4]).mean()  # one row up, one voxel to the right
    assert found[0, 2, 1, 2, 3] == pytest.approx(float(expected))
    assert found[0, 0, 0, 0, 0] == 0  # outside


@pytest.mark.parametrize(
    "wrong", [{"classes": 1}, {"channels": (8,)}, {"hidden": 12}, {"fold": (2, 2)}, {"stride": (1, 3, 2)}]
)
def test_impossible_networks_are_refused(wrong):
    with pytest.raises(InputError, match="pyramid: "):
        PyramidConfig(**wrong)


def blobs(seed, shape=(12, 16, 16)):
    """An image of a bright and a grey ball in places of their own, and their labels."""
    random = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(size) for size in shape], indexing="ij"))
    labels = np.zeros(shape, np.uint8)
    for value, middle in ((1, (6, 5, 6)), (2, (6, 10, 10))):
        centre = np.array(middle) + random.uniform(-1.5, 1.5, 3)
        labels[((grid - centre[:, None, None, None]) ** 2).sum(0) < 9] = value
    image = gaussian_filter(np.array([0.1, 1.0, 0.6])[labels], 0.7)
    return LabelledArrays(image.astype(np.float16), labels)


def people(count):
    return [TrainingSubject(f"s{seed}", (blobs(seed),)) for seed in range(count)]


def test_the_loss_is_its_parts():
    torch.manual_seed(0)
    loss = PyramidLoss(labels=3.0, lncc=0.7, smoothness=0.2, classes=0.4)
    objective = PyramidObjective("x", SMALL, loss, HIPPOCAMPUS)
    batch = PairBatches(people(2), PairSettings(), 1).draw(0)
    found = {name: float(value.detach()) for name, value in objective.losses(batch, 0).items()}
    assert found["total"] == pytest.approx(
        3 * found["labels"] + 0.7 * found["lncc"] + 0.2 * found["smoothness"] + 0.4 * found["classes"], rel=1e-5
    )
    overlaps = []  # at rest: the plain overlap
    for value in (1, 2):
        one, two = batch.fixed_labels == value, batch.moving_labels == value
        overlaps.append(2 * float((one & two).sum()) / float(one.sum() + two.sum()))
    assert found["labels"] == pytest.approx(1 - np.mean(overlaps), abs=0.03)
    with pytest.raises(InputError, match="4 classes do not fit the 2 labels of hippocampus"):
        PyramidObjective("x", replace(SMALL, classes=4), loss, HIPPOCAMPUS)
    with pytest.raises(InputError, match="one of labels and lncc above 0"):
        PyramidLoss(labels=0.0, lncc=0.0)


@pytest.mark.training
def test_training_raises_the_overlap_without_folds(tmp_path):
    torch.manual_seed(0)
    config = PyramidConfig(channels=(16, 16), features=8, hidden=16)
    objective = PyramidObjective("x", config, PyramidLoss(smoothness=0.1), HIPPOCAMPUS, averaging=0.9)
    settings = TrainingSettings(steps=160, learning_rate=5e-3, mixed_precision=False)
    subjects, batch = people(16), PairSettings()
    cases = pair_list(subjects[10:], batch)
    found = train(tmp_path, objective, PairBatches(subjects[:10], batch, 1), settings, cases=cases)
    assert found["dice"] > found["dice_before"] + 0.1 and found["folding_percent"] == 0
    assert found["segmentation_dice"] > 0.5


def test_synthetic_pairs_are_drawn_from_the_seed_and_show_one_anatomy():
    bent = Augmentation(elastic=1.0, elastic_stride=8)
    settings = SyntheticPairSettings((16, 24, 20), (1, 2), augmentation=PairAugmentation(moving=bent))
    batch = SyntheticPairs(settings, 5).draw(3)
    again, other = SyntheticPairs(settings, 5).draw(3), SyntheticPairs(settings, 5).draw(4)
    assert torch.equal(batch.fixed, again.fixed) and torch.equal(batch.moving_labels, again.moving_labels)
    assert not torch.equal(batch.fixed, other.fixed)
    assert batch.fixed.shape == (1, 1, 16, 24, 20) and batch.fixed.min() >= 0 and batch.fixed.max() <= 1
    assert set(batch.fixed_labels.unique().tolist()) == {0, 1, 2}
    assert 0 < (batch.fixed_labels != batch.moving_labels).float().mean() < 0.2
    pair = torch.stack([batch.fixed.flatten(), batch.moving.flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.5
    still = SyntheticPairs(replace(settings, augmentation=PairAugmentation()), 5).draw(3)
    assert torch.equal(still.fixed_labels, still.moving_labels)
    with pytest.raises(InputError, match="more shapes than the 2 labels"):
        SyntheticPairSettings((16, 16, 16), (1, 2), shapes=2)


def test_recipes_are_found_and_draw_the_same_weights_from_the_same_seed():
    recipe = RECIPES.find("pyramid")
    for dataset in ("hippocampus", "cardiac"):
        one, two, other = (recipe.make(dataset, seed=seed) for seed in (3, 3, 4))
        weights = [plan.objective.weights() for plan in (one, two, other)]
        assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
        assert any(not torch.equal(value, weights[2][name]) for name, value in weights[0].items())
        assert one.objective.name == f"pyramid-{dataset}"
    assert recipe.make("hippocampus", "synthetic").objective.name == "pyramid-synthetic"
    with pytest.raises(InputError, match="synthetic is for hippocampus only"):
        recipe.make("cardiac", "synthetic")


@pytest.fixture
def saved(tmp_path):
    """Weights of a small network with lively fields, as a training saves them."""
    torch.manual_seed(0)
    objective = PyramidObjective("pyramid-mine", SMALL, PyramidLoss(), HIPPOCAMPUS)
    objective.average.load_state_dict(network_of(SMALL, lively=0.05).state_dict())
    plan = RegistrationPlan(objective, PairSettings(), TrainingSettings(steps=1))
    card = registration_card(plan, "hippocampus", subjects=2, command="none", validation_subjects=1)
    save_trained(tmp_path, objective, card, {"dice": 0.5})
    return tmp_path / "pyramid-mine.json"


def hippocampus_like(seed):
    array = gaussian_filter(np.random.default_rng(seed).random((36, 50, 34)), 2).astype(np.float32)
    return Volume(array, (1.0, 1.0, 1.0), (5.0, -3.0, 2.0), np.diag([-1.0, -1.0, 1.0]))


def test_without_weights_the_method_says_how_to_get_them(monkeypatch, capsys):
    monkeypatch.setattr("UltrasoundMotionLib.registration.registry.installed_cards", lambda: ())
    assert not find_method("pyramid").installed
    with pytest.raises(InputError, match=r"comes without weights\. Train them with .* --weights"):
        register(hippocampus_like(1), hippocampus_like(2), method="pyramid", device="cpu")
    assert main(["models", "show", "pyramid"]) == 0
    assert "missing:  Train them with `ultrasound-motion train pyramid`" in capsys.readouterr().out


def test_the_shipped_weights_are_symmetric_and_do_not_fold():
    fixed, moving = hippocampus_like(1), hippocampus_like(2)
    there, back = (
        register(*pair, method="pyramid", refine=False, device="cpu", initial_transform=None)
        for pair in ((fixed, moving), (moving, fixed))
    )
    assert any("weights pyramid-hippocampus: licence CC-BY-SA-4.0" in note for note in there.notes)
    assert there.measures.jacobian.share_nonpositive == 0
    round_trip = compose(*(one.displacement.to_voxels() for one in (there, back)))
    inner = (..., *(slice(8, -8),) * 3)
    moved = there.displacement.to_voxels()[inner].abs().mean()
    assert moved > 0.2
    assert round_trip[inner].abs().mean() < 0.2 * moved


def test_the_method_uses_weights_of_ones_own_and_refines_their_field(saved):
    fixed, moving = hippocampus_like(1), hippocampus_like(2)
    short = InstanceSettings(scales=(2,), iterations=(2,), control_strides=(1,))
    plain = register(fixed, moving, method="pyramid", weights=saved, refine=False, device="cpu")
    assert any("weights pyramid-mine: licence" in note for note in plain.notes)
    assert np.abs(plain.displacement.displacement_mm).max() > 0.2
    back = register(moving, fixed, method="pyramid", weights=saved, refine=False, device="cpu")
    middle = tuple(slice(size // 2 - 6, size // 2 + 6) for size in fixed.array.shape)
    there = plain.displacement.displacement_mm[middle]
    assert np.abs(there + back.displacement.displacement_mm[middle]).mean() < 0.5 * np.abs(there).mean()
    refined = register(
        fixed, moving, method="pyramid", weights=saved, settings=PyramidSettings(refinement=short), device="cpu"
    )
    difference = np.abs(refined.displacement.displacement_mm - plain.displacement.displacement_mm)
    assert 0 < difference.mean() < np.abs(plain.displacement.displacement_mm).mean()
    assert refined.measures.lncc > plain.measures.lncc


@pytest.mark.training
def test_the_command_trains_on_synthetic_shapes_and_goes_on_from_their_weights(tmp_path):
    from UltrasoundMotionLib.images.volume_files import write_volume

    folder = tmp_path / "hippocampus"
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for number in (1, 3, 306, 307):
        one = blobs(number, (30, 44, 28))
        for kind, array in (("images", one.image.astype(np.float32)), ("labels", one.labels)):
            volume = Volume(array, (1, 1, 1), (0, 0, 0), np.diag([-1.0, -1.0, 1.0]))
            write_volume(folder / kind / f"hippocampus_{number:03d}.nii.gz", volume)
    words = ["train", "pyramid", "--dataset", "hippocampus", "--data", str(folder), "--device", "cpu", "--quiet"]
    words += ["--threads", "1", "--steps", "1"]
    assert main([*words, "--variant", "synthetic", "--out", str(tmp_path / "shapes")]) == 0
    start = tmp_path / "shapes" / "pyramid-synthetic.json"
    assert "synthetic images of random shapes" in start.read_text()
    assert main([*words, "--start-from", str(start), "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "pyramid-hippocampus.safetensors").stat().st_size < 2_000_000
