"""The training of the landmark tracker LSDM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from UltrasoundMotionLib.lab.training.landmark_recipe import LandmarkRecipe
from UltrasoundMotionLib.lab.training.recipe import training_recipe

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.objectives.lsdm import LsdmObjective


@training_recipe
class LsdmRecipe(LandmarkRecipe):
    """Trains `Lsdm`."""

    name, rank = "lsdm", 3
    summary = "the landmark tracker LSDM (Liu et al.)"

    def _objective(self, *, published: bool) -> LsdmObjective:
        from UltrasoundMotionLib.lab.training.objectives.lsdm import PUBLISHED_LOSS, LsdmObjective

        return LsdmObjective(loss=PUBLISHED_LOSS if published else None)
