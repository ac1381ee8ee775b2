"""The training of PIPs++."""

from __future__ import annotations

from typing import TYPE_CHECKING

from UltrasoundMotionLib.lab.training.recipe import training_recipe
from UltrasoundMotionLib.lab.training.whole_clip_recipe import WholeClipRecipe

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.objectives.pipspp import PipsPlusPlusObjective


@training_recipe
class PipsPlusPlusRecipe(WholeClipRecipe):
    """Trains `PipsPlusPlus`."""

    name, rank = "pipspp", 6
    summary = "the whole-clip tracker PIPs++ (Zheng, Harley et al.)"

    def make_objective(self, image_side: int) -> PipsPlusPlusObjective:
        """Returns the objective of PIPs++."""
        from UltrasoundMotionLib.lab.training.objectives.pipspp import PipsPlusPlusObjective

        return PipsPlusPlusObjective(image_side)
