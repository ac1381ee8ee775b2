"""The training of EchoTracker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from UltrasoundMotionLib.lab.training.recipe import training_recipe
from UltrasoundMotionLib.lab.training.whole_clip_recipe import WholeClipRecipe

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.objectives.echotracker import EchoTrackerObjective


@training_recipe
class EchoTrackerRecipe(WholeClipRecipe):
    """Trains `EchoTracker`."""

    name, rank = "echotracker", 5
    summary = "the whole-clip tracker EchoTracker (Azad et al.)"

    def make_objective(self, image_side: int) -> EchoTrackerObjective:
        """Returns EchoTracker's objective."""
        from UltrasoundMotionLib.lab.training.objectives.echotracker import EchoTrackerObjective

        return EchoTrackerObjective(image_side)
