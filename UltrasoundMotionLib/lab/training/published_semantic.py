"""The training of Ha et al. (Sensors 2020, Sec. 2.3.2) as published, for the commands that repeat its experiments.

Adam at 0.001, times 0.97 after every epoch (the paper's "momentum of 0.97", as the authors' code has it), 300 epochs,
lambda_s 1, lambda_r 0.001, labels compared at the images' full resolution, float32, gradients as they are. The
authors' code changes both images of a pair by one random affine map, which the paper does not mention: here as well.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from UltrasoundMotionLib.lab.training.settings import DecayingSettings

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.objectives.semantic import SemanticObjective
    from UltrasoundMotionLib.lab.training.objectives.voxelmorph import VoxelMorphObjective
    from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain
    from UltrasoundMotionLib.registration.methods.semantic.two_step_config import Variant

EPOCHS = 300
AFFINE = 0.05
"""Standard deviation of the affine augmentation in the authors' code."""

_PRETRAINING = 0.4
"""Share of the steps for the features alone, in the variant that trains them first; the paper gives none."""

_SMOOTHING = {2: 5, 3: 3}
"""Windows of the regularisation by dimension: faces, hearts."""


def published_settings(epochs: int, epoch_steps: int, seed: int) -> DecayingSettings:
    """Returns the settings of that many epochs."""
    return DecayingSettings(
        steps=epochs * epoch_steps,
        seed=seed,
        learning_rate=1e-3,
        decay=0.97,
        epoch_steps=epoch_steps,
        gradient_norm=float("inf"),
        mixed_precision=False,
        validate_every=0,
    )


def published_objective(variant: Variant, domain: ModelDomain, *, name: str, seed: int) -> SemanticObjective:
    """Returns a variant of the paper's network with the paper's loss, its weights drawn from the seed."""
    import torch

    from UltrasoundMotionLib.lab.training.objectives.semantic import SemanticLoss, SemanticObjective

    dimension = len(domain.shape)
    torch.manual_seed(seed)
    loss = SemanticLoss(
        semantic=1.0 if variant.guided else 0.0,
        smoothing=_SMOOTHING[dimension],
        full_resolution=True,
        pretraining=_PRETRAINING if variant.pretrained else 0.0,
    )
    config = variant.network(dimension, classes=1 + max(domain.labels))
    return SemanticObjective(config, loss, name=name, domain=domain, variant=variant.name)


def voxelmorph_objective(domain: ModelDomain, *, name: str, seed: int) -> VoxelMorphObjective:
    """Returns VoxelMorph as Balakrishnan et al. (CVPR 2018) train it without labels: local cross-correlation in windows
    of 9 voxels and the mean squared gradient of the displacement, weighed 1.
    """
    import torch

    from UltrasoundMotionLib.lab.training.objectives.voxelmorph import VoxelMorphLoss, VoxelMorphObjective
    from UltrasoundMotionLib.registration.methods.voxelmorph.network import VoxelMorphConfig

    torch.manual_seed(seed)
    return VoxelMorphObjective(VoxelMorphConfig(dimension=len(domain.shape)), VoxelMorphLoss(), name, domain)


def voxelmorph_settings(steps: int, seed: int) -> DecayingSettings:
    """Returns its settings: Adam at a constant 0.0001 (batches of one pair)."""
    return replace(published_settings(1, steps, seed), learning_rate=1e-4, decay=1.0)
