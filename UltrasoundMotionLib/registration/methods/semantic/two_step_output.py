"""What a two-step network gives."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class TwoStepOutput:
    """What a forward pass gives; everything on the grid of the features, half the image's resolution.

    Attributes:
        displacement: (B, n, *half) float32 in voxels of that grid, channels (x, y[, z]).
        fixed_scores, moving_scores: (B, classes, *half) before the softmax; None from a network without classes.
    """

    displacement: Tensor
    fixed_scores: Tensor | None
    moving_scores: Tensor | None
