"""The base of the objectives of SiamFC and SiamRPN."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from UltrasoundMotionLib.lab.training.data.landmark_batches import LandmarkBatch, LandmarkBatches
from UltrasoundMotionLib.lab.training.data.landmark_sources import LandmarkSource
from UltrasoundMotionLib.lab.training.data.triple_batches import LandmarkBatchSettings
from UltrasoundMotionLib.lab.training.objectives.landmarks import LandmarkObjective
from UltrasoundMotionLib.tracking.trackers.siamese.crops import SAMPLE_PX


class SiameseObjective(LandmarkObjective[LandmarkBatch]):
    """Trains a network that looks for an exemplar in a search window."""

    @abstractmethod
    def locate(self, batch: LandmarkBatch) -> Tensor:
        """Returns where landmarks are found in their search windows, (B, 2) in samples, without gradients."""

    def batches(self, sources: Sequence[LandmarkSource], settings: LandmarkBatchSettings, seed: int) -> LandmarkBatches:
        """Returns batches of exemplars and search windows."""
        return LandmarkBatches(sources, settings, seed)

    def errors(self, batch: LandmarkBatch) -> Tensor:
        """Returns the distances of what is found from the true places."""
        return torch.linalg.norm(self.locate(batch) - batch.target, dim=1) * SAMPLE_PX
