"""The training of the landmark tracker SiamRPN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.lab.training.landmark_recipe import LANDMARKS, PUBLISHED, LandmarkRecipe
from UltrasoundMotionLib.lab.training.recipe import DEFAULT, TrainingPlan, training_recipe

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
    from UltrasoundMotionLib.lab.training.objectives.landmarks import LandmarkObjective
    from UltrasoundMotionLib.lab.training.objectives.siamrpn import SiamRpnObjective


@training_recipe
class SiamRpnRecipe(LandmarkRecipe):
    """Trains `SiamRpnNetwork`."""

    name, rank = "siamrpn", 2
    summary = "the landmark tracker SiamRPN (Li et al. 2018)"

    def variants(self) -> Mapping[str, str]:
        """Returns the variants by name."""
        return {
            DEFAULT: "as published, in proportion; the shipped weights",
            PUBLISHED: "the same",
            LANDMARKS: "one square anchor, of which all labels count",
        }

    def make(
        self, variant: str = DEFAULT, *, seed: int = 1
    ) -> TrainingPlan[LandmarkObjective[Any], LandmarkBatchSettings]:
        """Returns the plan of a variant, see `LandmarkRecipe.make`."""
        self.check_variant(variant)
        return super().make(DEFAULT if variant == LANDMARKS else PUBLISHED, seed=seed)

    def _objective(self, *, published: bool) -> SiamRpnObjective:
        from UltrasoundMotionLib.lab.training.objectives.siamrpn import PUBLISHED_LOSS, SiamRpnObjective
        from UltrasoundMotionLib.tracking.trackers.siamese.siamrpn_network import SiamRpnNetworkConfig

        if published:
            return SiamRpnObjective(PUBLISHED_LOSS)
        return SiamRpnObjective(network=SiamRpnNetworkConfig(anchor_ratios=(1.0,)))
