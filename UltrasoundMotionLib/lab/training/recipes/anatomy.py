"""The training of the anatomy networks, which give class maps of hippocampi and hearts."""

from __future__ import annotations

from collections.abc import Mapping

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.data.pair_settings import HEART, Augmentation, PairAugmentation, PairSettings
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, training_recipe
from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationPlan, RegistrationRecipe
from UltrasoundMotionLib.lab.training.settings import TrainingSettings

_PHASES, _RESIDUAL = "phases", "residual"
_HIPPOCAMPUS = Augmentation(
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
_MIRRORED = Augmentation(flips=(2,))
"""The left hippocampus is the right one's mirror image."""
_HIPPOCAMPUS_WINDOW = (32, 48, 32)
_HEART_WINDOW = (None, 96, 96)


@training_recipe
class AnatomyRecipe(RegistrationRecipe):
    """Trains `AnatomyNetwork`."""

    name, rank = "anatomy", 8
    summary = "class maps of one image, which guide its registration"

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name."""
        return {
            DEFAULT: "class maps of one image at full resolution",
            _PHASES: "cardiac: the network sees both phases, as the shipped weights do",
            _RESIDUAL: "hippocampus: the residual network of the hearts, at full resolution; mirrored images too",
        }

    def _plan(self, dataset: str, variant: str) -> RegistrationPlan:
        from UltrasoundMotionLib.lab.training.objectives.anatomy import AnatomyObjective
        from UltrasoundMotionLib.registration.learned.anatomy_network import (
            CARDIAC_ANATOMY,
            CARDIAC_PHASES_ANATOMY,
            HIPPOCAMPUS_ANATOMY,
            HIPPOCAMPUS_RESIDUAL_ANATOMY,
        )
        from UltrasoundMotionLib.registration.learned.model_domain import CARDIAC_CINE, HIPPOCAMPUS

        if dataset == "hippocampus":
            if variant == _PHASES:
                raise InputError("variant: phases are of the cardiac data set only")
            if variant == _RESIDUAL:
                return RegistrationPlan(
                    AnatomyObjective(
                        "anatomy-hippocampus-residual",
                        HIPPOCAMPUS_RESIDUAL_ANATOMY,
                        HIPPOCAMPUS,
                        window=_HIPPOCAMPUS_WINDOW,
                    ),
                    PairSettings("random", augmentation=PairAugmentation(_MIRRORED, _HIPPOCAMPUS, _HIPPOCAMPUS)),
                    TrainingSettings(steps=20000, learning_rate=2e-3, weight_decay=1e-2, validate_every=1000),
                )
            return RegistrationPlan(
                AnatomyObjective("anatomy-hippocampus", HIPPOCAMPUS_ANATOMY, HIPPOCAMPUS, averaging=0.995),
                PairSettings("random", augmentation=PairAugmentation(fixed=_HIPPOCAMPUS, moving=_HIPPOCAMPUS)),
                TrainingSettings(steps=6000, learning_rate=2e-3, weight_decay=1e-4, validate_every=500),
            )
        if variant == _RESIDUAL:
            raise InputError("variant: hearts have the residual network by default")
        if variant == _PHASES:
            return RegistrationPlan(
                AnatomyObjective("anatomy-cardiac-phases", CARDIAC_PHASES_ANATOMY, CARDIAC_CINE, window=_HEART_WINDOW),
                PairSettings("phases", augmentation=PairAugmentation(shared=HEART)),
                TrainingSettings(steps=8000, learning_rate=2e-3, weight_decay=1e-2, validate_every=1000),
            )
        return RegistrationPlan(
            AnatomyObjective("anatomy-cardiac", CARDIAC_ANATOMY, CARDIAC_CINE, window=_HEART_WINDOW),
            PairSettings("phases", augmentation=PairAugmentation(fixed=HEART, moving=HEART)),
            TrainingSettings(steps=8000, learning_rate=2e-3, weight_decay=1e-2, validate_every=1000),
        )
