"""The training of NeurReg."""

from __future__ import annotations

from collections.abc import Mapping

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.pair_settings import PairSettings
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, training_recipe
from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationPlan, RegistrationRecipe
from UltrasoundMotionLib.lab.training.settings import ConstantRateSettings

EPOCHS = 1500


@training_recipe
class NeurRegRecipe(RegistrationRecipe):
    """Trains VoxelMorph's network as NeurReg."""

    name, rank = "neurreg", 9
    summary = "NeurReg, one network supervised by simulated displacements; its weights are for the method voxelmorph"
    data = "the Decathlon's hippocampi"

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name."""
        return {
            DEFAULT: "simulated displacements and likeness, without labels",
            "labels": "labels help while training",
        }

    def _plan(self, dataset: str, variant: str) -> RegistrationPlan:
        from UltrasoundMotionLib.lab.training.data.registration_simulator import SimulatorSettings
        from UltrasoundMotionLib.lab.training.objectives.neurreg import NeurRegLoss, NeurRegObjective
        from UltrasoundMotionLib.registration.learned.model_domain import HIPPOCAMPUS
        from UltrasoundMotionLib.registration.methods.voxelmorph.network import VoxelMorphConfig

        if dataset != "hippocampus":
            raise InputError(f"dataset: neurreg learns from hippocampus, got {dataset!r}")
        middle = "" if variant == DEFAULT else f"{variant}-"
        loss = NeurRegLoss(labels=0.0 if variant == DEFAULT else 10.0)
        return RegistrationPlan(
            NeurRegObjective(
                VoxelMorphConfig(), loss, SimulatorSettings(), f"neurreg-{middle}hippocampus", HIPPOCAMPUS
            ),
            PairSettings("random"),
            ConstantRateSettings(steps=EPOCHS * 160, save_every=500, validate_every=5000),
        )
