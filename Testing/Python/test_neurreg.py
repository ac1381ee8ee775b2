"""NeurReg: simulated displacements, the hybrid loss, and a training that learns them."""

import numpy as np
import pytest
import torch

from known_deformations import texture
from UltrasoundMotionLib.fields import warp
from UltrasoundMotionLib.lab.training.data.pair_settings import PairSettings
from UltrasoundMotionLib.lab.training.data.registration_pairs import (
    LabelledArrays,
    PairBatches,
    TrainingSubject,
)
from UltrasoundMotionLib.lab.training.data.registration_simulator import SimulatorSettings, simulated_displacement
from UltrasoundMotionLib.lab.training.objectives import neurreg
from UltrasoundMotionLib.lab.training.objectives.neurreg import NeurRegLoss, NeurRegObjective
from UltrasoundMotionLib.lab.training.recipes.neurreg import NeurRegRecipe
from UltrasoundMotionLib.lab.training.settings import ConstantRateSettings
from UltrasoundMotionLib.lab.training.trainer import train
from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS
from UltrasoundMotionLib.registration.methods.voxelmorph.network import VoxelMorphConfig
from UltrasoundMotionLib.registration.methods.voxelmorph.unet import ResidualUNet
from UltrasoundMotionLib.similarity import lncc

torch.set_num_threads(1)

CPU = torch.device("cpu")
SHAPE = (12, 16, 14)
SMALL = VoxelMorphConfig(encoder=(8, 8), decoder=(8, 8, 8, 8))


def simulated(**changes):
    nothing = {"rotation_deg": 0.0, "scale": (1.0, 1.0), "translation": 0.0, "elastic": 0.0}
    torch.manual_seed(3)
    return simulated_displacement(SHAPE, SimulatorSettings(**{**nothing, **changes}), CPU)[0]


def subject(seed):
    image = texture(SHAPE, seed)
    return TrainingSubject(
        f"subject {seed}", (LabelledArrays(image.astype(np.float16), (image > 0.5).astype(np.uint8)),)
    )


def test_a_simulated_displacement_is_what_was_asked_for():
    assert float(simulated().abs().max()) == 0
    moved = simulated(translation=0.1)  # a shift is the same everywhere and a tenth of the size at most
    assert float((moved - moved[:, :1, :1, :1]).abs().max()) == 0
    assert 0 < float(moved.abs().max()) <= 1.6
    scaled = simulated(scale=(0.5, 0.75))  # about the centre, along each axis
    assert float(scaled.mean().abs()) < 1e-6
    gradient = scaled[0, 0, 0].diff()
    assert torch.allclose(gradient, gradient[:1].expand(13), atol=1e-6)
    assert -0.5 <= float(gradient[0]) <= -0.25
    turned = simulated(rotation_deg=30.0)  # distances from the centre stay
    lines = [torch.arange(size, dtype=torch.float32) - (size - 1) / 2 for size in SHAPE]
    places = torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1])
    assert torch.allclose((places + turned).norm(dim=0), places.norm(dim=0), atol=1e-4)
    elastic = simulated(elastic=1000.0)
    assert 0 < float(elastic.diff(dim=1).abs().max()) < 0.5 * float(elastic.abs().max())  # smooth


def test_the_loss_is_the_distance_to_the_simulated_field_and_the_likeness_of_both_pairs():
    torch.manual_seed(1)
    objective = NeurRegObjective(SMALL, NeurRegLoss(), SimulatorSettings(), "n", HIPPOCAMPUS)
    batches = PairBatches([subject(0), subject(1)], PairSettings("random"), 1)
    batch = batches.draw(0)
    torch.manual_seed(7)
    true = simulated_displacement(SHAPE, SimulatorSettings(), CPU)
    torch.manual_seed(7)
    losses = objective.losses(batch, 0)
    with torch.no_grad():
        first = warp(batch.moving, true)
        fields = [objective.network(one, batch.moving) for one in (first, batch.fixed)]
        likeness = [
            lncc(one, warp(batch.moving, field), 5) for one, field in zip((first, batch.fixed), fields, strict=True)
        ]
    distance = ((fields[0] - true) ** 2).sum() / np.prod(SHAPE)
    assert float(losses["total"].detach()) == pytest.approx(float(distance) + 10 * (2 - float(sum(likeness))), rel=1e-5)
    assert "labels" not in losses
    with_labels = NeurRegObjective(SMALL, NeurRegLoss(labels=10.0), SimulatorSettings(), "n", HIPPOCAMPUS)
    assert float(with_labels.losses(batch, 0)["labels"].detach()) > 0


@pytest.mark.training
def test_a_training_learns_a_simulated_shift(tmp_path, monkeypatch):
    torch.manual_seed(1)
    simulator = SimulatorSettings(rotation_deg=0, scale=(1, 1), translation=0.15, elastic=0)
    objective = NeurRegObjective(SMALL, NeurRegLoss(lncc=0.1), simulator, "neurreg-test", HIPPOCAMPUS)
    batch = PairBatches([subject(0), subject(1)], PairSettings("random"), 1).draw(0)
    monkeypatch.setattr(neurreg, "simulated_displacement", lambda *_: torch.full((1, 3, *SHAPE), 1.5))
    before = float(objective.losses(batch, 0)["field"].detach())
    batches = type("Batches", (), {"draw": lambda *_: batch, "description": "one pair"})()
    train(tmp_path, objective, batches, ConstantRateSettings(steps=30, learning_rate=1e-2, validate_every=0))
    assert before == pytest.approx(3 * 1.5**2, rel=0.01)
    assert float(objective.losses(batch, 0)["field"].detach()) < 0.3 * before


def test_the_recipe_is_the_papers_and_refuses_hearts():
    plan = NeurRegRecipe().make("hippocampus")
    assert plan.objective.loss == NeurRegLoss(field=1.0, lncc=10.0, labels=0.0, window=5)
    assert (plan.settings.learning_rate, plan.settings.decay, plan.batch.size) == (1e-3, 1.0, 1)
    assert NeurRegRecipe().make("hippocampus", "labels").objective.loss.labels == 10.0
    with pytest.raises(Exception, match="learns from hippocampus"):
        NeurRegRecipe().make("cardiac")
    weights = {f"0/{name}": value for name, value in plan.objective.network.unet.state_dict().items()}
    assert {name.removeprefix("0/") for name in weights} == set(ResidualUNet(3).state_dict())
