"""The training of the landmark tracker SiamFC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from UltrasoundMotionLib.lab.training.landmark_recipe import LANDMARK_SETTINGS, PUBLISHED, LandmarkRecipe
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, training_recipe

if TYPE_CHECKING:
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
            DEFAULT: "labels that are highest at the landmark",
            PUBLISHED: "the paper's labels, a disc; the shipped weights",
        }

    def _objective(self, *, published: bool) -> SiamFcObjective:
        from UltrasoundMotionLib.lab.training.objectives.siamfc import SiamFcLoss, SiamFcObjective

        return SiamFcObjective(SiamFcLoss(radius=16.0) if published else None)
