"""How `ltnet` is trained: the default, the published losses, and both without one part at a time."""

from __future__ import annotations

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.registration.augmentation import Augmentation, PairAugmentation
from UltrasoundMotionLib.lab.training.registration.batches import BatchConfig
from UltrasoundMotionLib.lab.training.registration.ltnet_objective import LtNetObjective, LtNetWeights
from UltrasoundMotionLib.lab.training.registration.recipe import Recipe, RegistrationTraining
from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS
from UltrasoundMotionLib.registration.methods.ltnet.network import LtNetConfig

HIPPOCAMPUS_ATLAS = "hippocampus_263"
"""Of the 160 training subjects the one with the highest mean local cross-correlation (windows of 5 voxels) with all
others: no label chose it.
"""

VARIANTS = {
    "default": "one velocity generator for both ways, also trained from image to atlas (ours)",
    "published": "two displacement generators, the published terms; their weights are ours",
    "detours": "the default and detours through the other image of a step",
    "without-adversary": "the default without discriminator",
    "without-cycles": "the default without the three cycles",
    "similarity-only": "one way, similarity and smoothness: what VoxelMorph with one atlas is",
}

_NETWORKS = {"published": LtNetConfig(output="displacement", shared=False)}
_WEIGHTS = {
    "published": LtNetWeights(smoothness=0.1, squared=False, reverse=0.0),
    "detours": LtNetWeights(detour=0.5),
    "without-adversary": LtNetWeights(adversarial=0.0),
    "without-cycles": LtNetWeights(image=0.0, transformation=0.0, anatomy=0.0),
    "similarity-only": LtNetWeights(adversarial=0.0, image=0.0, transformation=0.0, anatomy=0.0, reverse=0.0),
}
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


def make_recipe(dataset: str, variant: str) -> Recipe:
    """As `objectives.make_recipe`.

    Raises:
        InputError: a data set without an atlas.
    """
    if dataset != "hippocampus":
        raise InputError(
            f"dataset: ltnet needs one atlas that fits every image, which hippocampus has, got {dataset!r}"
        )
    objective = LtNetObjective(
        "ltnet-hippocampus" if variant == "default" else f"ltnet-{variant}-hippocampus",
        _NETWORKS.get(variant, LtNetConfig()),
        _WEIGHTS.get(variant, LtNetWeights()),
        domain=HIPPOCAMPUS,
        atlas=HIPPOCAMPUS_ATLAS,
    )
    augmentation = PairAugmentation(fixed=_IMAGES, moving=_ATLAS)
    batch = BatchConfig(pairing="atlas", size=2, atlas=HIPPOCAMPUS_ATLAS, augmentation=augmentation)
    return Recipe(objective, HIPPOCAMPUS, batch, RegistrationTraining(steps=2000, validate_every=400))
