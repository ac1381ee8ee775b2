"""How good a network is on subjects that it does not learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from UltrasoundMotionLib.fields import jacobian_measures, warp
from UltrasoundMotionLib.lab.training.registration.batches import BatchConfig, TrainingSubject, pair_list, tensors_of
from UltrasoundMotionLib.lab.training.registration.objective import Objective
from UltrasoundMotionLib.similarity import dice


@torch.no_grad()
def validate(
    objective: Objective,
    subjects: Sequence[TrainingSubject],
    config: BatchConfig,
    labels: Mapping[int, str],
    device: torch.device,
) -> dict[str, float]:
    """Means over subjects, one pair each.

    Returns:
        By name: "dice_LABEL" of warped labels (nearest neighbour) and their mean "dice", "dice_before";
            "std_log_jacobian" and "folding_percent" of
        the fields; "segmentation_dice_LABEL" and "segmentation_dice" of labels predicted for the fixed image. What a
        network lacks is left out.
    """
    objective.eval()
    rows: list[dict[str, float]] = []
    for _, fixed, moving in pair_list(subjects, config):
        (fixed_image, fixed_labels), (moving_image, moving_labels) = (
            tensors_of(one, device) for one in (fixed, moving)
        )
        row: dict[str, float] = {}
        field = objective.displacement(fixed_image, moving_image)
        if field is not None:
            warped = warp(moving_labels[:, None], field.float(), mode="nearest")[:, 0]
            row |= _overlaps("dice", dice(fixed_labels, warped, tuple(labels)), labels)
            before = list(dice(fixed_labels, moving_labels, tuple(labels)).values())
            row["dice_before"] = _mean(before)
            jacobian = jacobian_measures(field.float())
            row |= {"std_log_jacobian": jacobian.std_log, "folding_percent": 100 * jacobian.share_nonpositive}
        predicted = objective.predicted_labels(fixed_image)
        if predicted is not None:
            row |= _overlaps("segmentation_dice", dice(fixed_labels, predicted, tuple(labels)), labels)
        rows.append(row)
    objective.train()
    return {name: round(_mean([row[name] for row in rows]), 4) for name in rows[0]}


def _overlaps(kind: str, found: Mapping[int, float], labels: Mapping[int, str]) -> dict[str, float]:
    named = {f"{kind}_{name}": found[value] for value, name in labels.items()}
    return {kind: _mean(list(named.values())), **named}


def _mean(values: Sequence[float]) -> float:
    """Of those that are numbers: a label that neither image has is none."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
