"""The training of the landmark tracker SiamFC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.lab.training.landmark_recipe import LANDMARK_SETTINGS, LANDMARKS, PUBLISHED, LandmarkRecipe
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, TrainingPlan, training_recipe

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
    from UltrasoundMotionLib.lab.training.objectives.landmarks import LandmarkObjective
    from UltrasoundMotionLib.lab.training.objectives.siamfc import SiamFcObjective


@training_recipe
class SiamFcRecipe(LandmarkRecipe):
    """Trains `SiamFcNetwork`."""

    name, rank = "siamfc", 1
    summary = "the landmark tracker SiamFC (Bertinetto et al. 2016)"
    defaults = replace(LANDMARK_SETTINGS, steps=2000)

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name."""
        return {
            DEFAULT: "as published, in proportion; the shipped weights",
            PUBLISHED: "the same",
            LANDMARKS: "labels that are highest at the landmark",
        }

    def make(
        self, variant: str = DEFAULT, *, seed: int = 1
    ) -> TrainingPlan[LandmarkObjective[Any], LandmarkBatchSettings]:
        """Returns the plan of a variant, see `LandmarkRecipe.make`."""
        self.check_variant(variant)
        return super().make(DEFAULT if variant == LANDMARKS else PUBLISHED, seed=seed)

    def _objective(self, *, published: bool) -> SiamFcObjective:
        from UltrasoundMotionLib.lab.training.objectives.siamfc import SiamFcLoss, SiamFcObjective

        return SiamFcObjective(SiamFcLoss(radius=16.0) if published else None)
