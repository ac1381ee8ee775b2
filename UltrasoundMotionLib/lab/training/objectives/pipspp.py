"""The objective of PIPs++ (Zheng, Harley et al., ICCV 2023)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from UltrasoundMotionLib.lab.training.objectives.whole_clip import WholeClipObjective
from UltrasoundMotionLib.lab.training.precision import full_precision
from UltrasoundMotionLib.tracking.trackers.pipspp.network import PipsPlusPlus, PipsPlusPlusConfig


class PipsPlusPlusObjective(WholeClipObjective):
    """Trains `PipsPlusPlus`; the encoder may compute in bfloat16, everything else is in float32.

    Args:
        image_side: side in pixels of the square images, for the card.
        iterations: of the refinement.
    """

    name = "pipspp"
    architecture = "PipsPlusPlus"
    task = "follows points of tissue of an ultrasound clip's first frame through the whole clip"

    def __init__(self, image_side: int = 256, iterations: int = 6) -> None:
        config = replace(PipsPlusPlusConfig(), image_size=(image_side, image_side))
        super().__init__(PipsPlusPlus(config), iterations)

    def follow(self, images: Tensor, points: Tensor) -> list[Tensor]:
        """Returns the trajectories of each iteration."""
        features = [level.float() for level in self.network.encode(images, len(images))]
        with full_precision(images.device.type):
            start = points.expand(len(images), -1, -1)
            found: list[Tensor] = self.network.follow(features, start, self.iterations)[0]
        return found
