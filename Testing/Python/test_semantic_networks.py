"""The networks of semantically guided registration, their losses and training, against the paper and closed forms."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.fields import jacobian_measures, warp
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.lab.benchmarks.semantic_ablation.variants import run_semantic_ablation
from UltrasoundMotionLib.lab.training.data import registration_subjects
from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledArrays, RegistrationBatch, TrainingSubject
from UltrasoundMotionLib.lab.training.objectives.semantic import (
    SemanticLoss,
    SemanticObjective,
    deformation_loss,
    label_weights,
    regular_loss,
    semantic_loss,
    windowed,
)
from UltrasoundMotionLib.registration import register
from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS
from UltrasoundMotionLib.registration.methods.semantic import TWO_STEP
from UltrasoundMotionLib.registration.methods.semantic.correlation_flow import correlation
from UltrasoundMotionLib.registration.methods.semantic.feature_unet import (
    FeatureUNet,
    FeatureUNetConfig,
    paper_unet,
)
from UltrasoundMotionLib.registration.methods.semantic.poly_affine import poly_affine
from UltrasoundMotionLib.registration.methods.semantic.registration_network import RegistrationNetwork
from UltrasoundMotionLib.registration.methods.semantic.two_step import (
    TwoStepNetwork,
    predict_two_step,
    two_step_network,
)
from UltrasoundMotionLib.registration.methods.semantic.two_step_config import (
    VARIANTS,
    TwoStepConfig,
    find_variant,
    published,
)
from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.weights import ModelCard, load_network, save_weights


def count(network: nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def small(name: str = "published", dimension: int = 3) -> TwoStepConfig:
    """A variant with few channels, quick to run."""
    config = find_variant(name).network(dimension, 3)
    furthest = None if config.correlation is None else 3
    unet = FeatureUNetConfig(dimension, 3, channels=(4, 6, 8, 10), deepest=2, up=(8, 8))
    return replace(
        config, unet=unet, channels=(4, 6, 8), hidden=6, scales=tuple(5 for _ in config.scales), correlation=furthest
    )


def disc_batch(shift: int = 3, size: int = 32) -> RegistrationBatch:
    """A bright disc that moves along x."""
    y, x = np.mgrid[:size, :size]
    labels = [(((x - size / 2 - s) ** 2 + (y - size / 2) ** 2) < 64).astype(np.int64) for s in (0, shift)]
    fixed, moving = (torch.from_numpy(one)[None] for one in labels)
    return RegistrationBatch(fixed[:, None].float(), moving[:, None].float(), fixed, moving)


def test_the_feature_network_has_eleven_convolutions_and_about_200_000_parameters():
    for dimension in (2, 3):
        network = FeatureUNet(paper_unet(dimension, classes=4))
        convolutions = [one for one in network.modules() if isinstance(one, nn.Conv2d | nn.Conv3d)]
        assert len(convolutions) == 11
        assert {one.kernel_size for one in convolutions} == {(3,) * dimension}
        assert 185_000 < count(network) < 205_000
        scores = network.eval()(torch.rand(1, 1, *[26] * dimension))
        assert scores.shape == (1, 4, *[13] * dimension)


def test_both_registration_networks_have_the_parameters_of_the_paper():
    faces = TwoStepNetwork(published(2, classes=8))
    assert count(faces.steps) == pytest.approx(2.3e6, rel=0.06)
    assert count(TwoStepNetwork(published(3, classes=4)).steps) == pytest.approx(2.0e6, rel=0.02)
    for dimension in (2, 3):
        two, one = (two_step_network(find_variant(name).network(dimension, 4)) for name in ("published", "single-step"))
        assert count(one) == pytest.approx(count(two), rel=0.03)


def test_the_field_is_a_spline_of_control_points_that_starts_at_rest_and_keeps_a_translation():
    torch.manual_seed(0)
    network = RegistrationNetwork(2, 6, (4, 6, 8), hidden=6, scale=5).eval()
    features = torch.rand(1, 3, 40, 24)
    assert network(features, features).abs().max() < 0.2
    nn.init.zeros_(network.head.control.weight)
    network.head.control.bias.data = torch.tensor([1.0, -0.5])
    field = network(features, features)
    assert torch.allclose(field[:, 0], torch.tensor(4.0)) and torch.allclose(field[:, 1], torch.tensor(-2.0))


def constant_steps(config: TwoStepConfig, bias: list[list[float]]) -> TwoStepNetwork:
    """A network whose steps give constant control displacements."""
    network = TwoStepNetwork(config).eval()
    for step, value in zip(network.steps, bias, strict=True):
        nn.init.zeros_(step.head.control.weight)
        step.head.control.bias.data = torch.tensor(value)
    return network


@pytest.mark.parametrize("name", ["published", "transformation", "diffeomorphic"])
def test_the_second_step_sees_features_warped_by_the_first_and_both_fields_count(name):
    network = constant_steps(small(name, dimension=2), [[0.5, 0.0], [0.25, -0.25]])
    seen: list[Tensor] = []
    network.steps[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[1]))
    moving_scores = torch.randn(1, 3, 16, 20)
    field = network.register(torch.randn(1, 3, 16, 20), moving_scores)
    assert torch.allclose(seen[0][..., :-2], moving_scores.softmax(1)[..., 2:], atol=1e-5)
    assert torch.allclose(field, torch.tensor([3.0, -1.0]).view(1, 2, 1, 1).expand_as(field), atol=1e-5)


def test_a_predicted_field_is_in_voxels_of_the_images_and_blind_to_units():
    torch.manual_seed(1)
    network = constant_steps(small(dimension=3), [[0.5, 0.0, 0.0], [0.25, 0.0, -0.25]])
    image = torch.rand(1, 1, 17, 24, 20)
    field = predict_two_step(network, image, image)
    assert field.shape == (1, 3, 17, 24, 20)
    assert torch.allclose(field[0, :, 4, 4, 4], torch.tensor([6.0, 0.0, -2.0 * 17 / 18]), atol=1e-4)
    trained = TwoStepNetwork(small(dimension=3)).eval()
    fixed, moving = torch.rand(2, 1, 1, 16, 24, 16)
    assert torch.allclose(
        predict_two_step(trained, fixed, moving), predict_two_step(trained, 40 * fixed - 3, 40 * moving - 3), atol=1e-4
    )


def test_the_correlation_of_a_shifted_map_is_highest_at_the_shift():
    torch.manual_seed(2)
    fixed = functional.normalize(torch.randn(1, 16, 14, 12), dim=1)
    moving = torch.roll(fixed, (2, -1), dims=(2, 3))  # along y and x
    found = correlation(fixed, moving, furthest=3).argmax(1)[0, 4:-4, 4:-4]
    assert torch.equal(found, torch.full_like(found, (3 + 2) * 7 + (3 - 1)))
    brute = (fixed[0, :, 5, 6] * moving[0, :, 7, 5]).mean()
    assert torch.isclose(correlation(fixed, moving, 3)[0, 5 * 7 + 2, 5, 6], brute)


def test_the_losses_are_equations_1_to_3():
    counts = torch.tensor([900.0, 100.0])
    weights = label_weights(counts)
    assert torch.allclose(weights, torch.tensor([0.5, 1.5]))  # square roots 1/30 and 1/10, mean 1
    scores, labels = torch.randn(2, 2, 6, 5), torch.randint(0, 2, (2, 6, 5))
    shares = functional.one_hot(labels, 2).movedim(-1, 1).float()
    assert torch.isclose(
        semantic_loss(scores, shares, weights), functional.cross_entropy(scores, labels, weight=weights), atol=1e-6
    )
    warped = torch.zeros_like(shares)
    warped[:, 0] = 1.0
    wrong = labels.float().mean()
    assert torch.isclose(deformation_loss(shares, warped, weights), wrong * (0.5 + 1.5) / 2)
    spike = torch.zeros(1, 2, 15, 9)
    spike[0, 0, 7, 4] = 9.0
    kernel = np.convolve([1 / 3] * 3, [1 / 3] * 3)
    smooth = np.outer(kernel, kernel) * 9.0
    smooth[2, 2] -= 9.0
    assert float(regular_loss(spike, 3)) == pytest.approx(np.linalg.norm(smooth) / (9 / 2), rel=1e-5)
    assert float(regular_loss(torch.full((1, 2, 15, 9), 3.0), 3)) == pytest.approx(0, abs=1e-5)


@pytest.mark.training
@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_variant_learns_to_move_a_disc(name):
    torch.manual_seed(3)
    variant = find_variant(name)
    loss = SemanticLoss(semantic=float(variant.guided), pretraining=0.5 if variant.pretrained else 0.0)
    objective = SemanticObjective(small(name, 2), loss, name="x", domain=HIPPOCAMPUS)
    objective.prepare(40)
    batch = disc_batch()
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-2)
    for step in range(50):
        losses = objective.losses(batch, step)
        optimizer.zero_grad()
        losses["total"].backward()
        optimizer.step()
    objective.eval()
    field = objective.displacement(batch.fixed, batch.moving)
    before = (batch.fixed - batch.moving).abs().mean()
    assert (batch.fixed - warp(batch.moving, field)).abs().mean() < 0.5 * before
    if variant.guided:
        assert (objective.predicted_labels(batch.fixed, batch.moving) == batch.fixed_labels).float().mean() > 0.95


def test_pre_trained_features_stay_as_they_are_after_their_steps():
    torch.manual_seed(4)
    objective = SemanticObjective(small(dimension=2), SemanticLoss(pretraining=0.5), name="x", domain=HIPPOCAMPUS)
    objective.prepare(4)
    batch = disc_batch()
    for step, learns in ((1, "unet"), (2, "steps")):
        objective.zero_grad()
        objective.train()
        before = {name: value.clone() for name, value in objective.network.unet.state_dict().items()}
        objective.losses(batch, step)["total"].backward()
        graded = {name.split(".")[1] for name, value in objective.named_parameters() if value.grad is not None}
        assert graded == {learns}
        same = all(torch.equal(before[name], value) for name, value in objective.network.unet.state_dict().items())
        assert same == (learns == "steps")


def test_a_window_empties_both_images_beyond_a_box_around_all_labels():
    batch = disc_batch(shift=5, size=64)
    batch = replace(batch, fixed=batch.fixed + 1, moving=batch.moving + 2)
    changed = windowed(batch, np.random.default_rng(9))
    labelled = (batch.fixed_labels + batch.moving_labels)[0] > 0
    for image, was in ((changed.fixed, batch.fixed), (changed.moving, batch.moving)):
        assert torch.equal(image[0, 0][labelled], was[0, 0][labelled])
    batch = replace(batch, fixed=batch.fixed - 10 * (torch.arange(64) == 0))
    changed = windowed(batch, np.random.default_rng(9))
    emptied = changed.fixed[0, 0] == -9
    assert emptied[:, 0].all() and not emptied[20:45, 24:45].any() and 0.1 < emptied.float().mean() < 0.9


def test_labels_that_are_no_class_and_impossible_settings_are_refused():
    objective = SemanticObjective(small(dimension=2), SemanticLoss(), name="faces", domain=HIPPOCAMPUS)
    batch = disc_batch()
    with pytest.raises(InputError, match="labels: 7 is none of the 3 classes of faces"):
        objective.losses(replace(batch, moving_labels=7 * batch.moving_labels), 0)
    with pytest.raises(InputError, match="there is no variant named two"):
        find_variant("two")
    with pytest.raises(InputError, match="scales must be odd"):
        replace(small(), scales=(4, 3))
    with pytest.raises(InputError, match="TwoStepConfig needs unet"):
        from_plain(TwoStepConfig, {"channels": [1, 2]})
    with pytest.raises(InputError, match="takes"):
        predict_two_step(TwoStepNetwork(small()).eval(), torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16))


def test_weights_come_back_from_a_card_through_half_precision(tmp_path):
    torch.manual_seed(5)
    objective = SemanticObjective(small(), SemanticLoss(), name="semantic-test", domain=HIPPOCAMPUS).eval()
    card = ModelCard("semantic-test", objective.architecture, objective.configuration(), "", (), "", 1, "", {}, "", "")
    save_weights(tmp_path, objective.weights(), card)
    fixed, moving = torch.rand(2, 1, 1, 16, 24, 16)
    loaded = load_network(tmp_path / "semantic-test.json", TWO_STEP).network
    assert next(loaded.parameters()).dtype == torch.float32
    assert (predict_two_step(loaded, fixed, moving) - objective.displacement(fixed, moving)).abs().max() < 0.01


def test_the_published_method_is_the_network_alone_and_ours_predicts_the_same_without_refinement(tmp_path):
    torch.manual_seed(5)
    domain = replace(HIPPOCAMPUS, familiar=())
    objective = SemanticObjective(small(), SemanticLoss(), name="semantic-test", domain=domain).eval()
    nn.init.normal_(objective.network.steps[0].head.control.bias, std=0.1)
    card = ModelCard("semantic-test", objective.architecture, objective.configuration(), "", (), "", 1, "", {}, "", "")
    save_weights(tmp_path, objective.weights(), card)
    images = np.random.default_rng(5).random((2, 48, 64, 48), dtype=np.float32)
    fixed, moving = (Volume(one, (1.0,) * 3, (0.0,) * 3, np.diag([-1.0, -1.0, 1.0]), "image") for one in images)
    options = {"initial_transform": None, "weights": tmp_path / "semantic-test.json", "orientation": "header"}
    published = register(fixed, moving, method="semantic-published", **options)
    assert published.method == "semantic-published"
    inputs = (torch.from_numpy(one)[None, None] for one in images)
    expected = predict_two_step(load_network(tmp_path / "semantic-test.json", TWO_STEP).network, *inputs)
    assert expected.abs().max() > 0.5
    np.testing.assert_allclose(published.displacement.to_voxels(), expected, atol=2e-3)
    ours = register(fixed, moving, method="semantic", refine=False, **options)
    assert ours.method == "anatomy-guided"
    np.testing.assert_array_equal(ours.displacement.displacement_mm, published.displacement.displacement_mm)
    with pytest.raises(InputError, match="refine: semantic-published has no prediction of a network to refine"):
        register(fixed, moving, method="semantic-published", refine=True, **options)


def test_poly_affine_keeps_an_affine_map_and_unfolds_a_folded_one():
    torch.manual_seed(6)
    grid = torch.stack(torch.meshgrid(*[torch.arange(size).double() for size in (40, 48)], indexing="ij")[::-1]) - 22
    affine = (torch.tensordot(torch.tensor([[0.06, 0.05], [-0.04, -0.08]]).double(), grid, 1) + 0.7)[None]
    assert (poly_affine(affine) - affine)[..., 6:-6, 6:-6].abs().max() < 0.01
    rough = functional.interpolate(4 * torch.randn(1, 2, 5, 6), size=(40, 48), mode="bicubic")
    made = poly_affine(rough)
    assert jacobian_measures(rough).share_nonpositive > 0.02
    assert jacobian_measures(made).share_nonpositive < 1e-3
    assert (made - rough).abs().mean() < 0.5 * rough.abs().mean()


def test_the_ablation_keeps_its_rows_and_prints_every_variant(tmp_path, monkeypatch):
    labels = np.zeros(
        (24, 32, 24), np.uint8
    )  # smaller, oneDNN's bfloat16 gradients of maps two voxels wide read memory that nobody wrote
    labels[9:15, 12:20, 9:13], labels[9:15, 12:20, 13:16] = 1, 2
    random = np.random.default_rng(8)
    subjects = []
    for shift in range(3):
        moved = np.roll(labels, shift, axis=1)
        image = (0.4 * moved + 0.05 * random.random(moved.shape)).astype(np.float16)
        subjects.append(TrainingSubject(f"hippocampus_{shift:03d}", (LabelledArrays(image, moved),)))
    read: list[str] = []

    def read_subjects(dataset: str, folder: Path, part: str, *_: object, **__: object) -> list[TrainingSubject]:
        read.append(part)
        return subjects

    monkeypatch.setattr(registration_subjects, "read_subjects", read_subjects)
    settings = {"steps": 2, "out": tmp_path, "variants": ("shared-weights", "poly-affine"), "pairs": 2}
    first = run_semantic_ablation("hippocampus", tmp_path, **settings)
    assert [row.variant for row in first.rows] == ["no registration", "shared-weights", "poly-affine"]
    still = first.rows[0]
    head = labels == 1
    overlaps = [
        2 * (head & other).sum() / (2 * head.sum()) for other in (np.roll(head, shift, axis=1) for shift in (1, 2))
    ]
    assert still.dice["head"] == pytest.approx(np.mean(overlaps), abs=1e-6)
    assert still.jacobian_std == 0 and first.rows[1].jacobian_std > 0
    assert read == ["validation", "train"]
    again = run_semantic_ablation("hippocampus", tmp_path, **settings)
    assert read == ["validation", "train", "validation"]  # nothing is trained again
    assert again.rows[1:] == first.rows[1:]
    assert len((tmp_path / "rows.jsonl").read_text().splitlines()) == 2  # what needs no training is not kept
    assert all(np.mean(list(row.by_pair.values())) == pytest.approx(row.mean_dice) for row in first.rows)
    assert first.as_dict()["dataset"] == "hippocampus" and "by_pair" not in first.as_dict()["rows"][0]
    assert "| poly-affine" in again.table(markdown=True)
    with pytest.raises(InputError, match="other settings"):
        run_semantic_ablation("hippocampus", tmp_path, **{**settings, "steps": 3})


def test_with_the_statistics_of_the_pair_use_is_as_training(tmp_path):
    torch.manual_seed(0)
    config = replace(published(3, 3), channels=(4, 8), hidden=8, statistics="pair")
    network = two_step_network(config)
    fixed, moving = torch.rand(2, 1, 1, 24, 32, 24)
    with torch.no_grad():
        trained = network.train()(fixed, moving).displacement
        used = network.eval()(fixed, moving).displacement
    torch.testing.assert_close(used, trained)
    assert not any("running" in name for name in network.state_dict())
    assert from_plain(TwoStepConfig, json.loads(json.dumps(asdict(config)))) == config
    with pytest.raises(InputError, match="statistics is one of"):
        replace(config, statistics="batch")
