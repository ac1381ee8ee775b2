"""How VoxelMorph is trained on each data set."""

from __future__ import annotations

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.registration.augmentation import Augmentation, PairAugmentation
from UltrasoundMotionLib.lab.training.registration.batches import BatchConfig
from UltrasoundMotionLib.lab.training.registration.recipe import Recipe, RegistrationTraining
from UltrasoundMotionLib.lab.training.registration.voxelmorph_objective import VoxelMorphLoss, VoxelMorphObjective
from UltrasoundMotionLib.registration.learned.model_domain import CARDIAC_CINE_PUBLISHED, HIPPOCAMPUS
from UltrasoundMotionLib.registration.methods.voxelmorph.network import HALF_SIZE_DECODER, VoxelMorphNetworkConfig

VARIANTS = {
    "default": "without labels; hippocampus: the published network, cardiac: its diffeomorphic one",
    "labels": "labels help while training; hippocampus only",
    "diffeomorphic": "without labels, velocity field of half the size, both directions",
}

ONE_HIPPOCAMPUS = Augmentation(
    rotation_deg=5,
    tilt_deg=5,
    scale=0.04,
    stretch=0.04,
    shift=1,
    elastic=0.5,
    gain=0.1,
    gamma=0.15,
    bias=0.1,
    noise=0.01,
)
SUBJECTS = PairAugmentation(fixed=ONE_HIPPOCAMPUS, moving=ONE_HIPPOCAMPUS)
"""Two subjects: each in a pose of its own."""

SAME_CHEST = Augmentation(
    rotation_deg=25,
    tilt_deg=4,
    scale=0.15,
    stretch=0.08,
    shift=8,
    elastic=2.0,
    elastic_stride=32,
    gain=0.1,
    gamma=0.2,
    bias=0.1,
)
SAME_SCAN = PairAugmentation(
    shared=SAME_CHEST, fixed=Augmentation(noise=0.02), moving=Augmentation(gain=0.03, noise=0.02)
)
"""Two moments of one scan: one pose. Never mirrored, since the right ventricle is on one side."""

DIFFEOMORPHIC = VoxelMorphNetworkConfig(decoder=HALF_SIZE_DECODER, output="velocity", full_size=False)


def make_recipe(dataset: str, variant: str) -> Recipe:
    """One of `VARIANTS`.

    Raises:
        InputError: a variant that the data set lacks.
    """
    if dataset == "cardiac":
        if variant == "labels":
            raise InputError("variant: labels is for hippocampus only")
        network = VoxelMorphNetworkConfig(
            decoder=HALF_SIZE_DECODER, output="velocity", full_size=False, normalised=True
        )
        loss = VoxelMorphLoss(mse=8.0, smoothness=0.5, symmetric=True, half_size=True)
        objective = VoxelMorphObjective(network, loss, "voxelmorph-cardiac", CARDIAC_CINE_PUBLISHED)
        batch = BatchConfig("phases", swapped=0.5, augmentation=SAME_SCAN)
        return Recipe(objective, CARDIAC_CINE_PUBLISHED, batch, RegistrationTraining(steps=800, warm_up=0.1))
    network, loss, name = VoxelMorphNetworkConfig(), VoxelMorphLoss(window=5), "voxelmorph-hippocampus"
    if variant == "diffeomorphic":
        network, loss, name = (
            DIFFEOMORPHIC,
            VoxelMorphLoss(window=5, smoothness=0.5, symmetric=True),
            "voxelmorph-diffeomorphic-hippocampus",
        )
    if variant == "labels":
        network, loss, name = (
            DIFFEOMORPHIC,
            VoxelMorphLoss(window=5, smoothness=0.5, labels=2.0, symmetric=True),
            "voxelmorph-labels-hippocampus",
        )
    objective = VoxelMorphObjective(network, loss, name, HIPPOCAMPUS)
    training = RegistrationTraining(steps=2400 if network.full_size else 3000, warm_up=0.1)
    return Recipe(objective, HIPPOCAMPUS, BatchConfig("random", augmentation=SUBJECTS), training)
