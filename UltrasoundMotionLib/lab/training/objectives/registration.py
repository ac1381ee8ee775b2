"""The base of registration objectives, and how registration networks are validated."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from UltrasoundMotionLib.fields import jacobian_measures, warp
from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledPair, RegistrationBatch, tensors_of
from UltrasoundMotionLib.lab.training.objective import Objective
from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain
from UltrasoundMotionLib.similarity import dice


class RegistrationObjective(Objective[RegistrationBatch, LabelledPair]):
    """Trains a network on image pairs.

    Displacements are (B, n, *spatial) in voxels of the images' grid, channels (x, y[, z]), fixed(x) = moving(x + u(x)).

    Attributes:
        domain: the images, their grid and the meaning of their labels.
    """

    task = "deformable registration"
    domain: ModelDomain

    @abstractmethod
    def displacement(self, fixed: Tensor, moving: Tensor) -> Tensor | None:
        """Returns the displacement for images (B, 1, *spatial), without gradients; None: the network gives none."""

    def predicted_labels(self, image: Tensor, other: Tensor) -> Tensor | None:
        """Returns labels (B, *spatial) long predicted for images (B, 1, *spatial); None: the network gives none.

        Args:
            other: the other image of each pair.
        """
        return None

    def validate(self, cases: Sequence[LabelledPair]) -> dict[str, float]:
        """Measures the network on pairs.

        Returns:
            Means over the pairs: "dice_LABEL" of warped labels (nearest neighbour), their mean "dice" and
            "dice_before"; "std_log_jacobian" and "folding_percent" of the fields; "segmentation_dice_LABEL" and
            "segmentation_dice" of labels predicted for the fixed image. Figures that a network lacks are left out.
        """
        rows = [self._measure(pair) for pair in cases]
        return {name: round(_mean([row[name] for row in rows]), 4) for name in rows[0]}

    def _measure(self, pair: LabelledPair) -> dict[str, float]:
        labels, device = self.domain.labels, self.device
        fixed_image, fixed_labels = tensors_of(pair.fixed, device)
        moving_image, moving_labels = tensors_of(pair.moving, device)
        row: dict[str, float] = {}
        field = self.displacement(fixed_image, moving_image)
        if field is not None:
            warped = warp(moving_labels[:, None], field.float(), mode="nearest")[:, 0]
            row |= _overlaps("dice", dice(fixed_labels, warped, tuple(labels)), labels)
            row["dice_before"] = _mean(list(dice(fixed_labels, moving_labels, tuple(labels)).values()))
            jacobian = jacobian_measures(field.float())
            row |= {"std_log_jacobian": jacobian.std_log, "folding_percent": 100 * jacobian.share_nonpositive}
        predicted = self.predicted_labels(fixed_image, moving_image)
        if predicted is not None:
            row |= _overlaps("segmentation_dice", dice(fixed_labels, predicted, tuple(labels)), labels)
        return row


def _overlaps(kind: str, found: Mapping[int, float], labels: Mapping[int, str]) -> dict[str, float]:
    named = {f"{kind}_{name}": found[value] for value, name in labels.items()}
    return {kind: _mean(list(named.values())), **named}


def _mean(values: Sequence[float]) -> float:
    """Returns the mean of the values that are numbers: a label that neither image has has no overlap."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
