"""LT-Net: its losses against their definitions, what training may see, and the labels and confidence that come out."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from scipy.ndimage import binary_dilation, gaussian_filter, map_coordinates

from UltrasoundMotionLib.cli.main import main
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import DisplacementField, ImageGrid, compose, warp
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.images.volume_files import read_volume, write_volume
from UltrasoundMotionLib.lab.registration_datasets import read_hippocampus
from UltrasoundMotionLib.lab.training.data.pair_settings import PairSettings
from UltrasoundMotionLib.lab.training.data.registration_pairs import (
    LabelledArrays,
    PairBatches,
    RegistrationBatch,
    TrainingSubject,
)
from UltrasoundMotionLib.lab.training.objectives.ltnet import (
    PUBLISHED_TERMS,
    LtNetObjective,
    LtNetWeights,
    anatomy_cycle,
    charbonnier,
    image_cycle,
    mean_gradient_length,
    published_weights,
    transformation_cycle,
)
from UltrasoundMotionLib.lab.training.optimization import Optimization
from UltrasoundMotionLib.lab.training.recipes.label_transfer import LabelTransferRecipe
from UltrasoundMotionLib.lab.training.recipes.ltnet_published import (
    HIPPOCAMPUS_ATLAS,
    LtNetPublishedRecipe,
    parsed_losses,
    published_plan,
)
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.registration import register, transfer_labels
from UltrasoundMotionLib.registration.label_transfer import (
    LEAST_WIDTH_MM,
    reversal_miss_mm,
)
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain
from UltrasoundMotionLib.registration.methods.ltnet import LTNET, LtNetSettings
from UltrasoundMotionLib.registration.methods.ltnet.network import LtNet, LtNetConfig, PatchDiscriminator
from UltrasoundMotionLib.similarity import dice
from UltrasoundMotionLib.weights import ModelCard, load_network, save_weights

SIZE = 32
TINY = LtNetConfig(dimension=2, encoder=(8, 16), decoder=(16, 16, 16))
DISCS = ModelDomain(
    name="discs",
    modality="drawings of a disc in a ring",
    spacing_mm=(1.0, 1.0),
    shape=(SIZE, SIZE),
    orientation=None,
    labels={1: "disc", 2: "ring"},
    extent_mm=((16.0, 16.0), (64.0, 64.0)),
    coarsest_mm=(2.0, 2.0),
    same_scan=False,
)


def disc(x, y, radius):
    """An image of a bright disc in a darker ring, and its labels, both (SIZE, SIZE)."""
    rows, columns = np.mgrid[:SIZE, :SIZE]
    distance = np.hypot(columns - x, rows - y)
    labels = np.where(distance < radius, 1, np.where(distance < radius + 4, 2, 0)).astype(np.uint8)
    return gaussian_filter(np.array([0.1, 1.0, 0.5])[labels], 0.7).astype(np.float32), labels


def discs(count):
    random = np.random.default_rng(3)
    drawn = [disc(*random.uniform(12, 20, 2), random.uniform(4, 7)) for _ in range(count)]
    return [
        TrainingSubject(f"s{n}", (LabelledArrays(image.astype(np.float16), labels),))
        for n, (image, labels) in enumerate(drawn)
    ]


def objective(seed=0, **weights):
    torch.manual_seed(seed)
    return LtNetObjective("ltnet-discs", TINY, LtNetWeights(**weights), domain=DISCS, atlas="s0")


def batch(size=2):
    return PairBatches(discs(4), PairSettings(pairing="atlas", atlas="s0", size=size), seed=0).draw(0)


def smooth_field(seed, size=1.5):
    values = gaussian_filter(np.random.default_rng(seed).standard_normal((2, SIZE, SIZE)), (0, 6, 6))
    return torch.from_numpy(size * values / np.abs(values).max())[None].float()


def shipped_as(folder, network, **card):
    """Saves a network of discs, and gives the path of its card."""
    values = {
        "name": "ltnet-discs",
        "architecture": "LtNet",
        "configuration": {"network": asdict(network.config), "domain": asdict(DISCS), "atlas": "s0"},
        "task": "labels",
        "trained_on": ("drawings",),
        "command": "none",
        "seed": 0,
        "commit": "",
        "measured": {},
        "measured_with": "none",
        "limits": "none",
    }
    save_weights(folder, network.state_dict(), ModelCard(**{**values, **card}))
    return str(folder / f"{card.get('name', values['name'])}.json")


def shifting(x, y=0.0, output="displacement"):
    """A network whose field is one shift in voxels, whatever it sees."""
    torch.manual_seed(0)
    network = LtNet(replace(TINY, output=output))
    with torch.no_grad():
        network.forth.unet.field.weight.zero_()
        network.forth.unet.field.bias.copy_(torch.tensor([x, y]) / 2)  # its own grid has half the voxels
    return network


def there_and_back(forth, back):
    """A network with a generator for each way, whose fields are one shift along x each."""
    torch.manual_seed(0)
    network = LtNet(replace(TINY, output="displacement", shared=False))
    with torch.no_grad():
        for generator, shift in ((network.forth, forth), (network.back, back)):
            generator.unet.field.weight.zero_()
            generator.unet.field.bias.copy_(torch.tensor([shift, 0.0]) / 2)
    return network


# The losses


def test_the_cycles_are_what_they_are_defined_as():
    forth, back = smooth_field(1), smooth_field(2)
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(float)
    there, backward = (one[0].double().numpy() for one in (forth, back))
    inside = [np.clip(rows + backward[1], 0, SIZE - 1), np.clip(columns + backward[0], 0, SIZE - 1)]
    miss = [backward[i] + map_coordinates(there[i], inside, order=1) for i in range(2)]
    expected = ((miss[0] ** 2 + miss[1] ** 2 + 1e-6) ** 0.45).mean()
    assert float(transformation_cycle(forth, back)) == pytest.approx(expected, rel=1e-4)

    atlas = torch.from_numpy(gaussian_filter(np.random.default_rng(0).random((SIZE, SIZE)), 2)).float()[None, None]
    returned = warp(atlas, compose(forth, back))
    assert float(image_cycle(atlas, warp(atlas, forth), back)) == pytest.approx(
        float((atlas - returned).abs().mean()), abs=5e-3
    )
    shift = torch.zeros(1, 2, SIZE, SIZE)
    shift[:, 0] = 3
    labels = torch.zeros(1, 1, SIZE, SIZE)
    labels[..., 10:20, 10:20] = 1
    carried = warp(labels, shift)
    assert float(anatomy_cycle(labels, carried, -shift)) == pytest.approx(0, abs=1e-5)
    assert float(anatomy_cycle(labels, carried, 0 * shift)) == pytest.approx(
        0.3, abs=1e-5
    )  # 7 of 10 columns still overlap


def test_the_penalty_is_gentle_to_outliers_and_the_smoothness_is_a_mean_length():
    squares = torch.tensor([0.0, 1.0, 100.0])
    assert charbonnier(squares).tolist() == pytest.approx([1e-6**0.45, 1.000001**0.45, 100.000001**0.45], rel=1e-4)
    ramp = torch.zeros(1, 2, SIZE, SIZE)
    ramp[:, 0] = 0.3 * torch.arange(SIZE)  # du_x/dx = 0.3
    ramp[:, 1] = 0.4 * torch.arange(SIZE)  # du_y/dx = 0.4: together 0.5 along x, nothing along y
    assert float(mean_gradient_length(ramp)) == pytest.approx((0.5 + 0.0) / 2, abs=1e-3)


def test_no_label_but_the_atlas_s_is_ever_read():
    given, one = batch(), objective(detour=0.5)
    blind = RegistrationBatch(given.fixed, given.moving, None, given.moving_labels)
    seen, unseen = one.losses(given, 0), one.losses(blind, 0)
    assert {name: float(value.detach()) for name, value in seen.items()} == {
        name: float(value.detach()) for name, value in unseen.items()
    }
    shifted = RegistrationBatch(given.fixed, given.moving, None, given.moving_labels.roll(5, dims=-1))
    assert not torch.equal(one.losses(shifted, 0)["detour"], seen["detour"])


def test_every_loss_moves_the_generator_and_only_the_adversary_s_own_moves_the_discriminator():
    given = batch()
    for term in ("similarity", "smoothness", "adversarial", "image", "transformation", "anatomy", "reverse", "detour"):
        one = objective(detour=1.0)
        torch.nn.init.normal_(one.network.forth.unet.field.weight, std=0.3)
        one.losses(given, 0)[term].backward()
        assert one.network.forth.unet.field.weight.grad.abs().max() > 0, term
    one = objective()
    assert {id(value) for value in one.adversary().parameters} == {
        id(value) for value in one.discriminator.parameters()
    }
    one.losses(given, 0)
    one.adversary().loss().backward()
    assert all(value.grad is None for value in one.network.parameters())
    assert all(value.grad is not None for value in one.discriminator.parameters())


def published(seed=0, **losses):
    torch.manual_seed(seed)
    config = replace(TINY, output="displacement", shared=False)
    one = LtNetObjective("ltnet-published-discs", config, published_weights(losses), domain=DISCS, atlas="s0")
    torch.manual_seed(seed)  # the same fields with and without a discriminator
    for generator in (one.network.forth, one.network.back):
        torch.nn.init.normal_(generator.unet.field.weight, std=0.3)
    return one


@pytest.mark.parametrize("term", PUBLISHED_TERMS)
def test_each_published_loss_acts_on_its_generators_and_with_its_weight(term):
    given = batch()
    one = published()
    losses = one.losses(given, 0)
    total = float(losses["total"].detach())
    assert set(losses) == {*PUBLISHED_TERMS, "total"}
    losses[term].backward()
    pulled = {
        way: max(float(value.grad.abs().max()) if value.grad is not None else 0.0 for value in part.parameters())
        for way, part in (("forth", one.network.forth), ("back", one.network.back))
    }
    assert pulled["forth"] > 0
    assert (pulled["back"] > 0) == (term in ("smoothness", "image", "transformation", "anatomy"))
    weight = getattr(one.loss_weights, term)
    value = float(losses[term].detach())

    def total_with(other):
        return float(published(**{term: other}).losses(given, 0)["total"].detach())

    assert total_with(weight + 1) - total == pytest.approx(value, rel=1e-3)
    if term != "similarity":
        assert total - total_with(0.0) == pytest.approx(weight * value, rel=1e-2)


def test_the_published_way_back_starts_from_the_warped_atlas_and_has_a_generator_of_its_own(monkeypatch):
    given, one = batch(), published()
    seen = []
    back = one.network.backward_field
    monkeypatch.setattr(
        one.network, "backward_field", lambda atlas, other: seen.append((atlas, other)) or back(atlas, other)
    )
    one.losses(given, 0)
    (atlas, other), warped = seen[0], warp(given.moving, one.network(given.fixed, given.moving))
    assert torch.equal(atlas, given.moving) and torch.allclose(other, warped, atol=1e-5)
    assert not torch.allclose(other, given.fixed, atol=1e-2)
    ours = {id(value) for value in one.network.forth.parameters()}
    assert ours.isdisjoint(id(value) for value in one.network.back.parameters())
    assert one.network(given.fixed, given.moving).shape == given.fixed.repeat(1, 2, 1, 1).shape
    config = published_plan().objective.network.config
    assert (config.output, config.shared, config.full_size) == ("displacement", False, True)
    assert config.decoder == (32, 32, 32, 32, 32, 16, 16)


def test_weights_of_the_paper_take_the_place_of_ours_and_wrong_ones_are_refused():
    plan = published_plan(losses=parsed_losses(["smoothness=3", "adversarial=0.5"]))
    assert plan.objective.loss_weights == replace(published_weights(), smoothness=3.0, adversarial=0.5)
    assert (plan.batch.size, plan.batch.augmentation) == (1, PairSettings("random").augmentation)
    with pytest.raises(InputError, match="losses: expected TERM=WEIGHT, got 'smoothness'"):
        parsed_losses(["smoothness"])
    with pytest.raises(InputError, match=r"losses: expected terms among similarity, .*, got 'detour'"):
        published_plan(losses={"detour": 1.0})
    with pytest.raises(InputError, match="similarity above 0"):
        published_plan(losses={"similarity": 0.0})


@pytest.mark.parametrize("variant", LtNetPublishedRecipe().variants())
def test_a_variant_of_the_published_training_leaves_its_terms_out(variant):
    one = LtNetPublishedRecipe().make("hippocampus", variant).objective
    missing = {name for name in PUBLISHED_TERMS if getattr(one.loss_weights, name) == 0}
    words = {"adversary": "adversarial", "image": "image", "transformation": "transformation", "anatomy": "anatomy"}
    expected = {words[word] for word in variant.removeprefix("without-").split("-") if word in words}
    assert missing == (expected if variant != "similarity-only" else set(words.values()))
    assert (one.discriminator is None) == ("adversarial" in missing)
    assert one.name == f"ltnet-published-{'' if variant == 'default' else f'{variant}-'}hippocampus"


def test_the_discriminator_learns_to_tell_sharp_from_blurred():
    torch.manual_seed(0)
    one = objective()
    one.discriminator = PatchDiscriminator(2, (8, 16))
    optimizer = torch.optim.Adam(one.adversary().parameters, lr=1e-2)
    losses = []
    for step in range(60):
        image, _ = disc(*np.random.default_rng(step).uniform(12, 20, 2), 6)
        blurred = gaussian_filter(image, 2)
        one._discriminated = tuple(torch.from_numpy(value)[None, None] for value in (image, blurred))
        loss = one.adversary().loss()
        losses.append(float(loss.detach()))  # of images it has not learnt from yet
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert np.mean(losses[-10:]) < 1.1  # guessing is 2 log 2 = 1.39


# Training


@pytest.mark.training
def test_a_short_training_brings_the_atlas_s_labels_to_images_it_never_saw():
    one = objective(smoothness=0.2)
    source = PairBatches(discs(24), PairSettings(pairing="atlas", atlas="s0", size=4), seed=0)
    settings = TrainingSettings(steps=80, learning_rate=4e-3, mixed_precision=False)
    optimization = Optimization(one, settings)
    for step in range(settings.steps):
        optimization.step(source.draw(step), step)
    atlas = discs(1)[0].phases[0]
    before, after, there_and_back = [], [], []
    for number in range(6):
        image, labels = disc(*np.random.default_rng(100 + number).uniform(12, 20, 2), 4.5 + number / 3)
        fixed, moving = (torch.from_numpy(value.astype(np.float32))[None, None] for value in (image, atlas.image))
        field = one.displacement(fixed, moving)
        wanted, given = (torch.from_numpy(value)[None, None] for value in (labels, atlas.labels))
        before.append(np.mean(list(dice(wanted, given).values())))
        after.append(np.mean(list(dice(wanted, warp(given, field, mode="nearest")).values())))
        miss = compose(one.network.backward_field(moving, fixed), field).norm(dim=1)[0].detach().numpy()
        there_and_back.append(miss[labels > 0].mean() / field.norm(dim=1)[0].numpy()[labels > 0].mean())
    assert np.mean(after) > np.mean(before) + 0.15
    assert np.mean(there_and_back) < 0.5


@pytest.mark.parametrize("variant", LabelTransferRecipe().variants())
def test_every_variant_is_made_with_the_one_atlas(variant):
    recipe = LabelTransferRecipe().make("hippocampus", variant)
    assert (
        recipe.batch.atlas == recipe.objective.atlas == recipe.objective.configuration()["atlas"] == HIPPOCAMPUS_ATLAS
    )
    assert ("back.unet.field.bias" in recipe.objective.weights()) == (variant == "published")
    assert not any("discriminator" in name for name in recipe.objective.weights())


# Transfer


def images(moving_shift=0):
    """Fixed image, atlas and its labels in mm, the atlas moved along x by whole voxels."""
    image, labels = disc(16, 16, 6)
    made = [np.roll(value, moving_shift, axis=1) for value in (image, labels)]
    return (Volume(array, (1.5, 1.5), (3.0, -8.0), np.eye(2), "image") for array in (image, *made))


def test_labels_arrive_with_a_confidence_that_falls_with_the_miss_of_the_way_back(tmp_path):
    fixed, atlas, atlas_labels = images(moving_shift=1)
    truth = np.roll(atlas_labels.array, -1, axis=1)
    inner = np.s_[10:-10, 10:-10]
    for shift, miss in (
        (1.5, 3.0),
        (0.0, 0.0),
    ):  # mm; the way back goes on in the same direction: a shift for whatever is seen
        config = LtNetSettings(shipped_as(tmp_path, shifting(shift)), refine=False)
        found = transfer_labels(
            fixed,
            atlas,
            atlas_labels,
            fixed_labels=replace(atlas_labels, array=truth),
            config=config,
            initial_transform="none",  # else the shift would be found before
        )
        given = truth if shift else atlas_labels.array
        assert (
            np.array_equal(found.labels.array[inner], given[inner])
            and found.labels.array.dtype == atlas_labels.array.dtype
        )
        assert found.registration.measures.labels[1].dice == pytest.approx(
            1.0 if shift else found.registration.measures.labels[1].dice_before
        )
        width = np.hypot(LEAST_WIDTH_MM, miss) / 1.5  # voxels
        expected = np.zeros(given.shape)
        for value in range(3):
            expected[given == value] = gaussian_filter((given == value).astype(float), width)[given == value]
        assert found.confidence.array[inner] == pytest.approx(expected[inner], abs=0.02)
        assert found.confidence.array.dtype == np.float32 and ImageGrid.of(found.confidence).matches(
            ImageGrid.of(fixed)
        )


def test_the_miss_is_measured_in_millimetres_between_grids_that_differ():
    forth_grid = ImageGrid((20, 24), (2.0, 1.0), (0.0, 0.0), np.eye(2))
    back_grid = ImageGrid((40, 30), (1.0, 2.0), (-5.0, -6.0), np.array([[0.0, 1.0], [1.0, 0.0]]))
    forth = DisplacementField(np.broadcast_to([3.0, 1.0], (20, 24, 2)), forth_grid)
    back = DisplacementField(np.broadcast_to([-3.0, 3.0], (40, 30, 2)), back_grid)
    assert reversal_miss_mm(forth, back) == pytest.approx(4.0)


def test_the_command_line_writes_the_confidence_beside_the_labels(tmp_path, monkeypatch, capsys):
    models = tmp_path / "models"
    models.mkdir()
    shipped_as(models, shifting(3.0, output="velocity"), name="ltnet-hippocampus")
    monkeypatch.setattr("UltrasoundMotionLib.weights.model_folder.models_folder", lambda: models)
    files = {name: str(tmp_path / f"{name}.nrrd") for name in ("fixed", "atlas", "labels", "strange", "u", "out", "c")}
    for name, volume in zip(
        ("fixed", "atlas", "labels"), images(moving_shift=4), strict=True
    ):  # far apart: else they were two moments of one scan
        write_volume(files[name], volume if name == "fixed" else replace(volume, origin_mm=(4.5, -8.0)))
    write_volume(files["strange"], replace(volume, origin_mm=(4.5, -8.0), array=volume.array + 2))
    command = [
        "register",
        files["fixed"],
        files["atlas"],
        "--out-displacement",
        files["u"],
        "--out-labels",
        files["out"],
        "--initial",
        "none",
        "--quiet",
    ]
    assert (
        main(
            [
                *command,
                "--moving-labels",
                files["labels"],
                "--method",
                "ltnet",
                "--no-refine",
                "--out-confidence",
                files["c"],
            ]
        )
        == 0
    )
    confidence, labels = read_volume(files["c"]).array, read_volume(files["out"]).array
    assert set(np.unique(labels)) == {0, 1, 2}
    volumes = [read_volume(files[name]) for name in ("fixed", "atlas", "labels")]
    found = transfer_labels(*volumes, config=LtNetSettings(refine=False), initial_transform="none")
    assert np.array_equal(confidence, found.confidence.array) and np.array_equal(labels, found.labels.array)
    assert 0 < confidence.min() < 0.5 < confidence.max() <= 1

    capsys.readouterr()
    assert main([*command, "--moving-labels", files["strange"], "--method", "ltnet"]) == 2
    assert "strange.nrrd: has the unknown label 3" in capsys.readouterr().err
    assert main([*command, "--moving-labels", files["labels"], "--out-confidence", files["c"]]) == 2
    said = capsys.readouterr().err
    assert "--out-confidence needs --method anatomy-guided or label-transfer or " in said and "ltnet-published" in said


@pytest.mark.slow
def test_the_shipped_network_brings_the_atlas_s_labels_to_a_validation_subject(shared_data):
    folder = shared_data("hippocampus")
    atlas, subject = (read_hippocampus(folder, name) for name in (HIPPOCAMPUS_ATLAS, "hippocampus_308"))
    found = transfer_labels(subject.image, atlas.image, atlas.labels, fixed_labels=subject.labels)
    overlaps = found.registration.measures.labels.values()
    assert np.mean([one.dice_before for one in overlaps]) < 0.7
    assert np.mean([one.dice for one in overlaps]) > 0.85
    assert found.registration.measures.jacobian.share_nonpositive < 0.001
    right = found.labels.array == subject.labels.array
    near = binary_dilation((subject.labels.array > 0) | (found.labels.array > 0), iterations=2)
    confidence = found.confidence.array
    assert right[near & (confidence > 0.9)].mean() > 0.9
    assert right[near & (confidence < 0.6)].mean() < 0.7


# Bad input


def test_labels_and_weights_that_do_not_fit_are_refused_by_name(tmp_path):
    fixed, atlas, atlas_labels = images()
    config = LtNetSettings(shipped_as(tmp_path, shifting(0.0)), refine=False)
    strange = replace(atlas_labels, array=np.where(atlas_labels.array == 2, 7, atlas_labels.array))
    with pytest.raises(
        InputError,
        match="atlas_labels: has the unknown label 7; the model of drawings of a disc in a ring knows 1 disc, 2 ring",
    ):
        transfer_labels(fixed, atlas, strange, config=config)
    with pytest.raises(InputError, match="atlas_labels: has no label above 0"):
        transfer_labels(fixed, atlas, replace(atlas_labels, array=0 * atlas_labels.array), config=config)
    with pytest.raises(InputError, match="an atlas needs its label map"):
        transfer_labels(fixed, atlas, None, config=config)
    with pytest.raises(InputError, match="use method='instance'"):
        register(
            replace(fixed, spacing_mm=(0.1, 0.1)), replace(atlas, spacing_mm=(0.1, 0.1)), method="ltnet", config=config
        )
    with pytest.raises(InputError, match="are of SpeckNet, not LtNet"):
        load_network(shipped_as(tmp_path, shifting(0.0), architecture="SpeckNet"), LTNET)
    with pytest.raises(InputError, match="not LtNet's"):
        load_network(shipped_as(tmp_path, shifting(0.0), configuration={}), LTNET)
    with pytest.raises(InputError, match="ltnet-elbow: no weights of that name are installed"):
        register(fixed, atlas, method="ltnet", config=LtNetSettings("ltnet-elbow"))
    with pytest.raises(InputError, match="needs one atlas that fits every image"):
        LabelTransferRecipe().make("cardiac")
    with pytest.raises(InputError, match="dataset: expected one of hippocampus, got 'cardiac'"):
        LtNetPublishedRecipe().make("cardiac")


def test_the_published_method_takes_the_published_networks_only(tmp_path):
    fixed, atlas, atlas_labels = images()
    with pytest.raises(InputError, match=r"ltnet-published comes without weights\. Train them with"):
        register(fixed, atlas, method="ltnet-published")
    ours = shipped_as(tmp_path, shifting(0.0))
    with pytest.raises(InputError, match="one generator for both ways; use method='label-transfer'"):
        register(fixed, atlas, method="ltnet-published", weights=ours)
    found = {}
    for back in (-1.5, 1.5):  # mm: where the atlas is found from its warped self
        theirs = shipped_as(tmp_path, there_and_back(1.5, back), name="ltnet-published-discs")
        found[back] = transfer_labels(
            fixed, atlas, atlas_labels, method="ltnet-published", weights=theirs, initial_transform="none"
        )
        inner = found[back].registration.displacement.to_voxels()[0, :, 10:-10, 10:-10]
        assert inner[0].numpy() == pytest.approx(1, abs=0.05) and inner[1].numpy() == pytest.approx(0, abs=0.05)
    assert found[-1.5].confidence.array.mean() > found[1.5].confidence.array.mean() + 0.01
