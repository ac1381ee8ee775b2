"""The training of LT-Net: the default, the published losses, and both without one part at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.pair_settings import Augmentation, PairAugmentation, PairSettings
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, training_recipe
from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationPlan, RegistrationRecipe
from UltrasoundMotionLib.lab.training.settings import TrainingSettings

HIPPOCAMPUS_ATLAS = "hippocampus_263"
"""The one of the 160 training subjects with the highest mean local cross-correlation (windows of 5 voxels) with all
others; labels had no part in the choice.
"""

_PUBLISHED = "published"
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
    _PUBLISHED: {"smoothness": 0.1, "squared": False, "reverse": 0.0},
    "detours": {"detour": 0.5},
    "without-adversary": {"adversarial": 0.0},
    "without-cycles": {"image": 0.0, "transformation": 0.0, "anatomy": 0.0},
    "similarity-only": {"adversarial": 0.0, "image": 0.0, "transformation": 0.0, "anatomy": 0.0, "reverse": 0.0},
}
"""Weights of the loss terms by variant, where they are not the defaults."""


@training_recipe
class LtNetRecipe(RegistrationRecipe):
    """Trains `LtNet`."""

    name, rank = "ltnet", 7
    summary = "LT-Net, the labels of one atlas brought to any image"

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name."""
        return {
            DEFAULT: "one velocity generator for both ways, also trained from image to atlas (ours)",
            _PUBLISHED: "two displacement generators, the published terms; their weights are ours",
            "detours": "the default and detours through the other image of a step",
            "without-adversary": "the default without discriminator",
            "without-cycles": "the default without the three cycles",
            "similarity-only": "one way, similarity and smoothness: VoxelMorph with one atlas",
        }

    def _plan(self, dataset: str, variant: str) -> RegistrationPlan:
        from UltrasoundMotionLib.lab.training.objectives.ltnet import LtNetObjective, LtNetWeights
        from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS
        from UltrasoundMotionLib.registration.methods.ltnet.network import LtNetConfig

        if dataset != "hippocampus":
            raise InputError(
                f"dataset: ltnet needs one atlas that fits every image, which hippocampus has, got {dataset!r}"
            )
        published = LtNetConfig(output="displacement", shared=False)
        objective = LtNetObjective(
            "ltnet-hippocampus" if variant == DEFAULT else f"ltnet-{variant}-hippocampus",
            published if variant == _PUBLISHED else LtNetConfig(),
            LtNetWeights(**_LOSSES.get(variant, {})),
            domain=HIPPOCAMPUS,
            atlas=HIPPOCAMPUS_ATLAS,
        )
        augmentation = PairAugmentation(fixed=_IMAGES, moving=_ATLAS)
        batch = PairSettings("atlas", size=2, atlas=HIPPOCAMPUS_ATLAS, augmentation=augmentation)
        return RegistrationPlan(objective, batch, TrainingSettings(steps=2000, validate_every=400))
