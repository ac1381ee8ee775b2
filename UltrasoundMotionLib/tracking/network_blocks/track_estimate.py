"""Tracks as TAPIR and LocoTrack estimate them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TrackEstimate:
    """Tracks of N points through T frames.

    Attributes:
        points: (N, T, 2) px.
        occlusion: (N, T) logit of the point being hidden.
        distance: (N, T) logit of the position being farther off than the threshold of the training.
    """

    points: Tensor
    occlusion: Tensor
    distance: Tensor

    @property
    def confidence(self) -> Tensor:
        """(N, T): probability that the point is seen and its position near; both papers call it visible above 0.5."""
        return (-self.occlusion).sigmoid() * (-self.distance).sigmoid()
