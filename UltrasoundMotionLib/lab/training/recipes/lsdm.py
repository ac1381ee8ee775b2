"""The training of the landmark tracker LSDM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.lab.training.landmark_recipe import (
    LANDMARK_SETTINGS,
    LandmarkOptions,
    LandmarkRecipe,
)
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, TrainingPlan, training_recipe
from UltrasoundMotionLib.lab.training.settings import TrainingSettings
from UltrasoundMotionLib.settings import option

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
    from UltrasoundMotionLib.lab.training.objectives.landmarks import LandmarkObjective
    from UltrasoundMotionLib.lab.training.objectives.lsdm import LsdmObjective

MOTION = "motion"
EPOCHS, PAIRS_OF_AN_EPOCH, PAIRS_OF_A_STEP = 100, 50, 4
"""The paper's epochs and batch; an epoch has so many pairs x_0 and x_t, drawn anew."""


@dataclass(frozen=True, kw_only=True)
class LsdmOptions(LandmarkOptions):
    """The options of LSDM's training."""

    batch: int = option(
        8,
        minimum=4,
        metavar="B",
        always_shown=True,
        help="landmarks in a step, a multiple of four (default 8: two of each of four pairs of frames)",
    )


@training_recipe
class LsdmRecipe(LandmarkRecipe):
    """Trains `Lsdm`."""

    name, rank = "lsdm", 3
    summary = "the landmark tracker LSDM (Liu et al.)"
    options = LsdmOptions
    landmarks_of_a_triple = 2
    defaults = replace(LANDMARK_SETTINGS, steps=EPOCHS * PAIRS_OF_AN_EPOCH // PAIRS_OF_A_STEP)

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name."""
        return {**super().variants(), MOTION: "motion alone, from which the others start (--start-from)"}

    def make(
        self, variant: str = DEFAULT, *, seed: int = 1
    ) -> TrainingPlan[LandmarkObjective[Any], LandmarkBatchSettings]:
        """Returns the plan of a variant, see `LandmarkRecipe.make`."""
        from UltrasoundMotionLib.lab.training.objectives.lsdm import MOTION_LOSS, LsdmObjective

        self.check_variant(variant)
        if variant != MOTION:
            return super().make(variant, seed=seed)
        plan = super().make(DEFAULT, seed=seed)
        assert isinstance(plan.objective, LsdmObjective)
        plan.objective.loss = MOTION_LOSS
        return plan

    def settings(self, *, published: bool) -> TrainingSettings:
        """Returns the settings of a variant's run: AdamW, or the authors' SGD."""
        if not published:
            return self.defaults
        return replace(self.defaults, learning_rate=1e-2, weight_decay=5e-4, momentum=0.9)

    def _objective(self, *, published: bool) -> LsdmObjective:
        from UltrasoundMotionLib.lab.training.objectives.lsdm import PUBLISHED_LOSS, LsdmObjective

        return LsdmObjective(loss=PUBLISHED_LOSS if published else None)
