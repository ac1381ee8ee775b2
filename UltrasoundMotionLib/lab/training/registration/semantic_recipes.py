"""How two-step semantically guided registration is trained: `train semantic --dataset D --variant V`."""

from __future__ import annotations

from dataclasses import asdict, replace

from UltrasoundMotionLib.lab.training.registration.augmentation import Augmentation, PairAugmentation
from UltrasoundMotionLib.lab.training.registration.batches import BatchConfig
from UltrasoundMotionLib.lab.training.registration.recipe import Recipe, RegistrationTraining
from UltrasoundMotionLib.lab.training.registration.semantic_objective import SemanticLoss, SemanticObjective
from UltrasoundMotionLib.registration.learned.model_domain import CARDIAC_CINE_PUBLISHED, HIPPOCAMPUS, ModelDomain
from UltrasoundMotionLib.registration.methods.semantic.two_step_config import VARIANTS as ROWS
from UltrasoundMotionLib.registration.methods.semantic.two_step_config import find_variant

SHIPPED = {"cardiac": "published", "hippocampus": "shared-weights"}
"""On hippocampi one network for both steps is no worse (`benchmark semantic-ablation`) and half as large."""
VARIANTS = {
    "default": "the shipped weights: " + ", ".join(f"{name} of {dataset}" for dataset, name in SHIPPED.items()),
    **{name: row.summary for name, row in ROWS.items()},
}

CARDIAC_BATCH = BatchConfig(
    pairing="phases",
    swapped=0.3,
    augmentation=PairAugmentation(
        shared=Augmentation(
            rotation_deg=30, tilt_deg=4, scale=0.15, stretch=0.06, shift=8, gain=0.1, gamma=0.2, bias=0.1
        ),
        moving=Augmentation(gamma=0.05),
    ),
)
"""A heart turned, resized and moved as a whole, in both phases alike; in three of ten pairs the phases change their
roles.
"""
ONE_HIPPOCAMPUS = Augmentation(
    rotation_deg=5, tilt_deg=5, scale=0.05, stretch=0.04, shift=1, gain=0.1, gamma=0.15, bias=0.1, noise=0.02
)
HIPPOCAMPUS_BATCH = BatchConfig(
    pairing="random", augmentation=PairAugmentation(fixed=ONE_HIPPOCAMPUS, moving=ONE_HIPPOCAMPUS)
)
CARDIAC_CROP = (64, 96, 96)
PRETRAINED_PART = 0.4
"""Of the steps, for the features alone, where they are trained first."""
CARDIAC_STEPS, HIPPOCAMPUS_STEPS = 2400, 4200


def make_recipe(dataset: str, variant: str = "default") -> Recipe:
    """What to train.

    Batches of one pair, Adam, the rate rising and falling once; the paper: batches of 5 (cardiac), Adam at 0.001, 300
    epochs, and "momentum of 0.97", which in the authors' code is the factor of the rate after every epoch. The cardiac
    steps see random parts of 64 x 96 x 96 voxels.

    Args:
        dataset: "hippocampus" or "cardiac".
        variant: of `VARIANTS`.

    Raises:
        InputError: no such variant.
    """
    cardiac = dataset == "cardiac"
    row = find_variant(SHIPPED[dataset] if variant == "default" else variant)
    domain: ModelDomain = CARDIAC_CINE_PUBLISHED if cardiac else HIPPOCAMPUS
    loss = SemanticLoss(
        semantic=1.0 if row.guided else 0.0,
        pretraining=PRETRAINED_PART if row.pretrained else 0.0,
        windowed=0.5 if cardiac else 0.0,
        crop=CARDIAC_CROP if cardiac else None,
    )
    config = replace(
        row.network(len(domain.shape), classes=1 + max(domain.labels)), statistics="learnt" if cardiac else "pair"
    )
    ending = "" if row.name == SHIPPED[dataset] else f"-{row.name}"
    objective = SemanticObjective(
        config, loss, name=f"semantic-{dataset}{ending}", domain=asdict(domain), variant=row.name
    )
    return Recipe(
        objective=objective,
        domain=domain,
        batch=CARDIAC_BATCH if cardiac else HIPPOCAMPUS_BATCH,
        training=RegistrationTraining(
            steps=CARDIAC_STEPS if cardiac else HIPPOCAMPUS_STEPS, learning_rate=2e-3, warm_up=0.1
        ),
    )
