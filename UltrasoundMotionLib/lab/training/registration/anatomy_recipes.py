"""How `anatomy` is trained: class maps of hippocampus and heart."""

from __future__ import annotations

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.registration.anatomy_objective import AnatomyObjective
from UltrasoundMotionLib.lab.training.registration.augmentation import Augmentation, PairAugmentation
from UltrasoundMotionLib.lab.training.registration.batches import BatchConfig
from UltrasoundMotionLib.lab.training.registration.recipe import Recipe, RegistrationTraining
from UltrasoundMotionLib.registration.learned.model_domain import CARDIAC_CINE, HIPPOCAMPUS
from UltrasoundMotionLib.registration.methods.semantic.anatomy_network import (
    CARDIAC_ANATOMY,
    CARDIAC_PHASES_ANATOMY,
    HIPPOCAMPUS_ANATOMY,
)

VARIANTS = {
    "default": "class maps of one image at full resolution",
    "phases": "cardiac: the network sees both phases; to be started from the weights of the default (--start-from)",
}

_SUBJECT = Augmentation(
    rotation_deg=12.0,
    tilt_deg=12.0,
    scale=0.12,
    stretch=0.08,
    shift=4.0,
    elastic=1.5,
    elastic_stride=12,
    gamma=0.25,
    bias=0.25,
)
_HEART = Augmentation(
    rotation_deg=35.0,
    scale=0.2,
    stretch=0.1,
    shift=8.0,
    elastic=3.0,
    elastic_stride=20,
    gamma=0.3,
    bias=0.3,
    in_plane=True,
)


def make_recipe(dataset: str, variant: str) -> Recipe:
    """As `objectives.make_recipe`."""
    if dataset == "hippocampus":
        if variant == "phases":
            raise InputError("variant: phases are of the cardiac data set only")
        objective = AnatomyObjective("anatomy-hippocampus", HIPPOCAMPUS_ANATOMY, HIPPOCAMPUS)
        batch = BatchConfig(pairing="random", size=1, augmentation=PairAugmentation(fixed=_SUBJECT, moving=_SUBJECT))
        return Recipe(
            objective,
            HIPPOCAMPUS,
            batch,
            RegistrationTraining(steps=6000, learning_rate=2e-3, weight_decay=1e-4, validate_every=500),
        )
    if variant == "phases":
        objective = AnatomyObjective(
            "anatomy-cardiac-phases", CARDIAC_PHASES_ANATOMY, CARDIAC_CINE, window=(None, 128, 128)
        )
        batch = BatchConfig(pairing="phases", size=1, augmentation=PairAugmentation(shared=_HEART))
        return Recipe(
            objective,
            CARDIAC_CINE,
            batch,
            RegistrationTraining(steps=1200, learning_rate=1e-3, weight_decay=1e-4, validate_every=0),
        )
    objective = AnatomyObjective("anatomy-cardiac", CARDIAC_ANATOMY, CARDIAC_CINE, window=(None, 128, 128))
    batch = BatchConfig(pairing="phases", size=1, augmentation=PairAugmentation(fixed=_HEART, moving=_HEART))
    return Recipe(
        objective,
        CARDIAC_CINE,
        batch,
        RegistrationTraining(steps=2800, learning_rate=2e-3, weight_decay=1e-4, validate_every=500),
    )
