"""The objective of EchoTracker (Azad et al., MICCAI 2024)."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from UltrasoundMotionLib.lab.training.objectives.whole_clip import WholeClipObjective
from UltrasoundMotionLib.lab.training.precision import full_precision
from UltrasoundMotionLib.tracking.trackers.echotracker.network import EchoTracker, EchoTrackerConfig


class EchoTrackerObjective(WholeClipObjective):
    """Trains `EchoTracker`; the encoders may compute in bfloat16, everything else is in float32.

    Args:
        image_side: side in pixels of the square images, for the card.
        iterations: of the refinement.
    """

    name = "echotracker"
    architecture = "EchoTracker"
    task = "follows points of tissue of an ultrasound clip's first frame through the whole clip"

    def __init__(self, image_side: int = 256, iterations: int = 4) -> None:
        config = replace(EchoTrackerConfig(), image_size=(image_side, image_side))
        super().__init__(EchoTracker(config), iterations)

    def follow(self, images: Tensor, points: Tensor) -> list[Tensor]:
        """Returns the trajectories of the global search and of each iteration."""
        features = self.network.encode(images, len(images))
        with full_precision(images.device.type):
            found: list[Tensor] = self.network.follow(features.float(), points, self.iterations)
        return found
