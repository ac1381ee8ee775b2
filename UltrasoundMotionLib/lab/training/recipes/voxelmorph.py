"""The training of VoxelMorph on each data set."""

from __future__ import annotations

from collections.abc import Mapping

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.pair_settings import Augmentation, PairAugmentation, PairSettings
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, training_recipe
from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationPlan, RegistrationRecipe
from UltrasoundMotionLib.lab.training.settings import TrainingSettings

_ONE_HIPPOCAMPUS = Augmentation(
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
_TWO_SUBJECTS = PairAugmentation(fixed=_ONE_HIPPOCAMPUS, moving=_ONE_HIPPOCAMPUS)
"""Each of two subjects has a pose of its own."""

_ONE_SCAN = PairAugmentation(
    shared=Augmentation(
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
    ),
    fixed=Augmentation(noise=0.02),
    moving=Augmentation(gain=0.03, noise=0.02),
)
"""Two moments of one scan have one pose. They are never mirrored, since the right ventricle is on one side."""


@training_recipe
class VoxelMorphRecipe(RegistrationRecipe):
    """Trains `VoxelMorph`."""

    name, rank = "voxelmorph", 6
    summary = "VoxelMorph, the plain learned registration, with and without labels"

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name."""
        return {
            DEFAULT: "without labels; hippocampus: the published network, cardiac: its diffeomorphic one",
            "labels": "labels help while training; hippocampus only",
            "diffeomorphic": "without labels, velocity field of half the size, both directions",
        }

    def _plan(self, dataset: str, variant: str) -> RegistrationPlan:
        from UltrasoundMotionLib.lab.training.objectives.voxelmorph import VoxelMorphLoss, VoxelMorphObjective
        from UltrasoundMotionLib.registration.learned.model_domain import CARDIAC_CINE_PUBLISHED, HIPPOCAMPUS
        from UltrasoundMotionLib.registration.methods.voxelmorph.network import (
            HALF_SIZE_DECODER,
            VoxelMorphConfig,
        )

        if dataset == "cardiac":
            if variant == "labels":
                raise InputError("variant: labels is for hippocampus only")
            network = VoxelMorphConfig(decoder=HALF_SIZE_DECODER, output="velocity", full_size=False, normalised=True)
            loss = VoxelMorphLoss(mse=8.0, smoothness=0.5, symmetric=True, half_size=True)
            return RegistrationPlan(
                VoxelMorphObjective(network, loss, "voxelmorph-cardiac", CARDIAC_CINE_PUBLISHED),
                PairSettings("phases", swapped=0.5, augmentation=_ONE_SCAN),
                TrainingSettings(steps=800, warm_up=0.1),
            )
        network, loss, steps = VoxelMorphConfig(), VoxelMorphLoss(window=5), 2400
        if variant != DEFAULT:
            network = VoxelMorphConfig(decoder=HALF_SIZE_DECODER, output="velocity", full_size=False)
            labels = 2.0 if variant == "labels" else 0.0
            loss, steps = VoxelMorphLoss(window=5, smoothness=0.5, labels=labels, symmetric=True), 3000
        middle = "" if variant == DEFAULT else f"{variant}-"
        return RegistrationPlan(
            VoxelMorphObjective(network, loss, f"voxelmorph-{middle}hippocampus", HIPPOCAMPUS),
            PairSettings("random", augmentation=_TWO_SUBJECTS),
            TrainingSettings(steps=steps, warm_up=0.1),
        )
