"""Rows of tables of the semantically guided paper: fields on a network's own grid, measured as its Sec. 2.3.3 does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.lab.benchmarks.table import CaseMeasure, Column

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledPair
    from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain

UNREGISTERED = "no registration"
Predict = Callable[["LabelledPair", "Tensor", "Tensor"], "Tensor"]
"""Called with a pair and its fixed and moving image (1, 1, *spatial); returns the displacement (1, n, *spatial)."""


@dataclass(frozen=True)
class FieldRow:
    """Means over the pairs.

    Attributes:
        variant: of the method.
        dice: by label's name, of labels warped by nearest neighbour.
        contour_mm: Eq. 6, mean over the labels; in pixels where they have no size.
        hd95_mm: the same for the 95th percentile of the distances.
        jacobian_std: standard deviation of the Jacobian determinant.
        negatives: share of voxels where it is not above 0.
        seconds: of the processor for a pair, median: what else the machine does has no part in it.
        parameters: of the networks.
        training_seconds: of the processor.
        by_pair: mean Dice over the labels of each pair.
        jacobian_std_inside, negatives_inside: the same of the voxels that are labelled in the fixed image.
    """

    variant: str
    dice: dict[str, float]
    contour_mm: float
    hd95_mm: float
    jacobian_std: float
    negatives: float
    seconds: float
    parameters: int
    training_seconds: float
    by_pair: dict[str, float]
    jacobian_std_inside: float = math.nan
    negatives_inside: float = math.nan

    @property
    def mean_dice(self) -> float:
        """Mean over the labels."""
        return float(np.mean(list(self.dice.values())))

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        return {name: value for name, value in asdict(self).items() if name != "by_pair"}


CASES: CaseMeasure[FieldRow] = CaseMeasure("Dice", values=lambda row: row.by_pair, method=lambda row: row.variant)


def field_columns(labels: Sequence[str], unit: str = "mm") -> tuple[Column[FieldRow], ...]:
    """The paper's columns, with one for each label; what belongs to a field is empty where nothing is registered."""

    def of_field(value: Callable[[FieldRow], float | int | None]) -> Callable[[FieldRow], float | int | None]:
        return lambda row: None if row.variant == UNREGISTERED else value(row)

    def of_label(row: FieldRow, label: str) -> float:
        return row.dice[label]

    return (
        Column("variant", "variant", names_method=True),
        Column("Dice", "mean_dice"),
        *(Column(label, partial(of_label, label=label)) for label in labels),
        Column("contour", "contour_mm", 2, unit=unit),
        Column("HD95", "hd95_mm", 2, unit=unit),
        Column("Jacobian std", of_field(lambda row: row.jacobian_std)),
        Column("inside", of_field(lambda row: row.jacobian_std_inside)),
        Column("negatives", of_field(lambda row: 100 * row.negatives), unit="%"),
        Column("inside", of_field(lambda row: 100 * row.negatives_inside), unit="%"),
        Column("core-s/pair", of_field(lambda row: row.seconds)),
        Column("parameters", of_field(lambda row: row.parameters or None)),
    )


def measured_row(
    name: str,
    cases: Sequence[LabelledPair],
    domain: ModelDomain,
    predict: Predict,
    *,
    parameters: int = 0,
    training_seconds: float = 0.0,
    device: str = "cpu",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> FieldRow:
    """Registers every pair on the grid of its domain and measures the fields.

    Args:
        predict: see `Predict`; is given tensors on the device.
        progress: called with the numbers of pairs done and of all.
    """
    import torch

    rows, by_pair = [], {}
    for done, pair in enumerate(cases, start=1):
        row = _measures(pair, domain, predict, torch.device(device))
        by_pair[pair.name] = _mean([value for key, value in row.items() if key.startswith("dice ")])
        rows.append(row)
        progress(done, len(cases))
    means = {key: _mean([row[key] for row in rows]) for key in rows[0]}
    return FieldRow(
        variant=name,
        dice={text: means[f"dice {label}"] for label, text in domain.labels.items()},
        contour_mm=means["contour"],
        hd95_mm=means["hd95"],
        jacobian_std=means["std"],
        negatives=means["negatives"],
        jacobian_std_inside=means["std inside"],
        negatives_inside=means["negatives inside"],
        seconds=float(np.median([row["seconds"] for row in rows])),
        parameters=parameters,
        training_seconds=training_seconds,
        by_pair=by_pair,
    )


def no_field(pair: LabelledPair, fixed: Tensor, moving: Tensor) -> Tensor:
    """Returns the field that moves nothing."""
    return fixed.new_zeros(1, fixed.ndim - 2, *fixed.shape[2:])


def _measures(pair: LabelledPair, domain: ModelDomain, predict: Predict, device: Any) -> dict[str, float]:
    from UltrasoundMotionLib.fields import jacobian_measures, warp
    from UltrasoundMotionLib.lab.training.data.registration_pairs import tensors_of
    from UltrasoundMotionLib.similarity import dice, surface_distance

    (fixed_image, fixed_labels), (moving_image, moving_labels) = (
        tensors_of(one, device) for one in (pair.fixed, pair.moving)
    )
    started = time.process_time()
    field = predict(pair, fixed_image, moving_image)
    seconds = time.process_time() - started
    warped = warp(moving_labels[:, None], field, mode="nearest")[:, 0]
    spacing = [1.0 if one is None else one for one in domain.spacing_mm]
    labels = list(domain.labels)
    distances = surface_distance(fixed_labels[0].cpu().numpy(), warped[0].cpu().numpy(), spacing, labels)
    jacobian = jacobian_measures(field)
    labelled = fixed_labels > 0
    inside = jacobian_measures(field, labelled[:, None]) if labelled.any() else None
    return {
        **{f"dice {label}": value for label, value in dice(fixed_labels, warped, labels).items()},
        "contour": _mean([one.mean_mm for one in distances.values()]),
        "hd95": _mean([one.hd95_mm for one in distances.values()]),
        "std": jacobian.std,
        "negatives": jacobian.share_nonpositive,
        "std inside": math.nan if inside is None else inside.std,
        "negatives inside": math.nan if inside is None else inside.share_nonpositive,
        "seconds": seconds,
    }


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.nan
