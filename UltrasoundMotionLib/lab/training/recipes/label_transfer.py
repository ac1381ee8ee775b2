"""The training of `label-transfer`: LT-Net's losses with generators of our own, also without one part at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.pair_settings import Augmentation, PairAugmentation, PairSettings
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, training_recipe
from UltrasoundMotionLib.lab.training.recipes.ltnet_published import HIPPOCAMPUS_ATLAS, published_plan
from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationPlan, RegistrationRecipe
from UltrasoundMotionLib.lab.training.settings import TrainingSettings

PUBLISHED = "published"
"""The variant by which `ltnet-published` was asked for before it had a name of its own."""

_IMAGES = Augmentation(
    rotation_deg=6.0,
    tilt_deg=6.0,
    scale=0.06,
    stretch=0.04,
    shift=1.5,
    elastic=1.0,
    elastic_stride=16,
    gain=0.05,
    gamma=0.15,
    bias=0.1,
)
_ATLAS = Augmentation(rotation_deg=3.0, tilt_deg=3.0, scale=0.03, shift=0.5, gain=0.05, gamma=0.15, bias=0.1)
_LOSSES: dict[str, dict[str, Any]] = {
    "detours": {"detour": 0.5},
    "without-adversary": {"adversarial": 0.0},
    "without-cycles": {"image": 0.0, "transformation": 0.0, "anatomy": 0.0},
    "similarity-only": {"adversarial": 0.0, "image": 0.0, "transformation": 0.0, "anatomy": 0.0, "reverse": 0.0},
}
"""Weights of the loss terms by variant, where they are not the defaults."""


@training_recipe
class LabelTransferRecipe(RegistrationRecipe):
    """Trains `LtNet` with one velocity generator for both ways."""

    name, rank = "label-transfer", 7
    former_names = ("ltnet",)
    summary = (
        "the labels of one atlas brought to any image, by one velocity generator for both ways (ours, from LT-Net)"
    )

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name."""
        return {
            DEFAULT: "one velocity generator for both ways, also trained from image to atlas",
            "detours": "the default and detours through the other image of a step",
            "without-adversary": "the default without discriminator",
            "without-cycles": "the default without the three cycles",
            "similarity-only": "one way, similarity and smoothness: VoxelMorph with one atlas",
            PUBLISHED: "what `train ltnet-published` trains",
        }

    def _plan(self, dataset: str, variant: str) -> RegistrationPlan:
        from UltrasoundMotionLib.lab.training.objectives.ltnet import LtNetObjective, LtNetWeights
        from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS
        from UltrasoundMotionLib.registration.methods.ltnet.network import LtNetConfig

        if dataset != "hippocampus":
            raise InputError(
                f"dataset: label-transfer needs one atlas that fits every image, which hippocampus has, got {dataset!r}"
            )
        if variant == PUBLISHED:
            return published_plan()
        objective = LtNetObjective(
            "ltnet-hippocampus" if variant == DEFAULT else f"ltnet-{variant}-hippocampus",
            LtNetConfig(),
            LtNetWeights(**_LOSSES.get(variant, {})),
            domain=HIPPOCAMPUS,
            atlas=HIPPOCAMPUS_ATLAS,
        )
        augmentation = PairAugmentation(fixed=_IMAGES, moving=_ATLAS)
        batch = PairSettings("atlas", size=2, atlas=HIPPOCAMPUS_ATLAS, augmentation=augmentation)
        return RegistrationPlan(objective, batch, TrainingSettings(steps=2000, validate_every=400))
