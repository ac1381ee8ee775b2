"""This project's training of the two-step network of Ha et al. (Sensors 2020) and its variants.

Batches of one pair, Adam, one cycle of the learning rate. The paper's own training is in `published_semantic`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from UltrasoundMotionLib.lab.training.data.pair_settings import Augmentation, PairAugmentation, PairSettings
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, training_recipe
from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationPlan, RegistrationRecipe
from UltrasoundMotionLib.lab.training.settings import TrainingSettings

_SHIPPED = {"cardiac": "published", "hippocampus": "shared-weights"}
"""On hippocampi one network for both steps is no worse (`benchmark semantic-ablation`) and half as large."""

_CARDIAC_BATCH = PairSettings(
    "phases",
    swapped=0.3,
    augmentation=PairAugmentation(
        shared=Augmentation(
            rotation_deg=30, tilt_deg=4, scale=0.15, stretch=0.06, shift=8, gain=0.1, gamma=0.2, bias=0.1
        ),
        moving=Augmentation(gamma=0.05),
    ),
)
"""A heart is rotated, resized and moved alike in both phases; in three of ten pairs the phases change their roles."""

_ONE_HIPPOCAMPUS = Augmentation(
    rotation_deg=5, tilt_deg=5, scale=0.05, stretch=0.04, shift=1, gain=0.1, gamma=0.15, bias=0.1, noise=0.02
)
_HIPPOCAMPUS_BATCH = PairSettings(
    "random", augmentation=PairAugmentation(fixed=_ONE_HIPPOCAMPUS, moving=_ONE_HIPPOCAMPUS)
)
_CARDIAC_CROP = (64, 96, 96)
_PRETRAINING = 0.4
"""Fraction of the steps for the features alone, in variants that train them first."""

_STEPS = {"cardiac": 2400, "hippocampus": 4200}


@training_recipe
class SemanticRecipe(RegistrationRecipe):
    """Trains two-step networks."""

    name, rank = "semantic", 5
    summary = "the semantically guided two-step network (Ha et al.)"

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name: the rows of the paper's Table 1."""
        from UltrasoundMotionLib.registration.methods.semantic.two_step_config import VARIANTS

        shipped = ", ".join(f"{name} of {dataset}" for dataset, name in _SHIPPED.items())
        return {DEFAULT: f"the shipped weights: {shipped}", **{name: row.summary for name, row in VARIANTS.items()}}

    def _plan(self, dataset: str, variant: str) -> RegistrationPlan:
        from UltrasoundMotionLib.lab.training.objectives.semantic import SemanticLoss, SemanticObjective
        from UltrasoundMotionLib.registration.learned.model_domain import CARDIAC_CINE_PUBLISHED, HIPPOCAMPUS
        from UltrasoundMotionLib.registration.methods.semantic.two_step_config import find_variant

        cardiac = dataset == "cardiac"
        row = find_variant(_SHIPPED[dataset] if variant == DEFAULT else variant)
        domain = CARDIAC_CINE_PUBLISHED if cardiac else HIPPOCAMPUS
        loss = SemanticLoss(
            semantic=1.0 if row.guided else 0.0,
            pretraining=_PRETRAINING if row.pretrained else 0.0,
            windowed=0.5 if cardiac else 0.0,
            crop=_CARDIAC_CROP if cardiac else None,
        )
        config = replace(
            row.network(len(domain.shape), classes=1 + max(domain.labels)), statistics="learnt" if cardiac else "pair"
        )
        ending = "" if row.name == _SHIPPED[dataset] else f"-{row.name}"
        objective = SemanticObjective(config, loss, name=f"semantic-{dataset}{ending}", domain=domain, variant=row.name)
        return RegistrationPlan(
            objective,
            _CARDIAC_BATCH if cardiac else _HIPPOCAMPUS_BATCH,
            TrainingSettings(steps=_STEPS[dataset], learning_rate=2e-3, warm_up=0.1),
        )
