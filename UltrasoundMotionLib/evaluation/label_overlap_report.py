"""Evaluation of registrations: label overlap, surface distance and Jacobian of each pair, and their means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.volume import Volume
from UltrasoundMotionLib.json_output import finite
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table

if TYPE_CHECKING:
    from UltrasoundMotionLib.fields.displacement_field import DisplacementField
    from UltrasoundMotionLib.fields.jacobian_summary import JacobianMeasures


@dataclass(frozen=True)
class PairOverlap:
    """Measures of one registered pair.

    Attributes:
        name: name of the pair.
        dice: Dice coefficient by label, 0 to 1.
        hd95_mm: 95th percentile of the surface distance by label; infinite where one map lacks the label.
        jacobian: measures of the displacement, or None without one.
        jacobian_inside: the same inside the fixed labels.
    """

    name: str
    dice: dict[int, float]
    hd95_mm: dict[int, float]
    jacobian: JacobianMeasures | None = None
    jacobian_inside: JacobianMeasures | None = None


@dataclass(frozen=True)
class OverlapReport:
    """Measures of several pairs. Means are over the pairs in which either map has the label.

    Attributes:
        pairs: the measures.
        unit: of distances, `px` where a map does not say the size of its pixels.
    """

    pairs: tuple[PairOverlap, ...]
    unit: str = "mm"

    @property
    def labels(self) -> tuple[int, ...]:
        """All labels of all pairs."""
        return tuple(sorted({label for pair in self.pairs for label in pair.dice}))

    def mean_dice(self) -> dict[int, float]:
        """Returns the mean Dice coefficient by label."""
        return {label: _mean([pair.dice.get(label, np.nan) for pair in self.pairs]) for label in self.labels}

    def mean_hd95_mm(self) -> dict[int, float]:
        """Returns the mean surface distance by label, over the pairs in which both maps have it."""
        return {label: _mean([pair.hd95_mm.get(label, np.nan) for pair in self.pairs]) for label in self.labels}

    def as_dict(self) -> dict:
        """Returns the content for JSON; values that were not measured are null."""
        fields, inside = (
            [asdict(one) for pair in self.pairs if (one := getattr(pair, name)) is not None]
            for name in ("jacobian", "jacobian_inside")
        )
        pooled = {
            "pairs": len(self.pairs),
            "dice": self.mean_dice(),
            "mean_dice": _mean([_mean(list(pair.dice.values())) for pair in self.pairs]),
            "hd95_mm": self.mean_hd95_mm(),
            "jacobian": _means(fields),
            "jacobian_inside": _means(inside),
        }
        content = {"pairs": [asdict(pair) for pair in self.pairs], "pooled": pooled}
        return finite(content if self.unit == "mm" else content | {"distances_in": self.unit})

    def table(self, markdown: bool = False) -> str:
        """Formats one row per pair, then their mean and standard deviation."""
        labels = self.labels
        with_field = any(pair.jacobian is not None for pair in self.pairs)
        header = [
            "pair",
            "Dice",
            *(f"Dice {label}" for label in labels),
            *(f"HD95 {label} {self.unit}" for label in labels),
        ]
        header += (
            ["folded %", "std log J", "folded % inside", "std log J inside", "SDlogJ (Learn2Reg)"] if with_field else []
        )
        values = np.array([self._numbers(pair, with_field) for pair in self.pairs])
        rows = [[pair.name, *self._row(row)] for pair, row in zip(self.pairs, values, strict=True)]
        if len(self.pairs) > 1:
            columns = [column[np.isfinite(column)] for column in values.T]
            rows.append(["mean", *self._row([column.mean() if column.size else np.nan for column in columns])])
            rows.append(["std", *self._row([column.std(ddof=1) if column.size > 1 else np.nan for column in columns])])
        return (markdown_table if markdown else text_table)(header, rows)

    def _numbers(self, pair: PairOverlap, with_field: bool) -> list[float]:
        dice = [pair.dice.get(label, np.nan) for label in self.labels]
        numbers = [_mean(dice), *dice, *(pair.hd95_mm.get(label, np.nan) for label in self.labels)]
        if with_field:
            for one in (pair.jacobian, pair.jacobian_inside):
                numbers += [np.nan, np.nan] if one is None else [100 * one.share_nonpositive, one.std_log]
            numbers.append(np.nan if pair.jacobian is None else pair.jacobian.sdlogj_learn2reg)
        return numbers

    @staticmethod
    def _row(numbers: Sequence[float]) -> list[str]:
        return [
            "inf" if np.isinf(number) else format_number(None if np.isnan(number) else float(number))
            for number in numbers
        ]


def measure_overlap(
    name: str, fixed: Volume, warped: Volume, displacement: DisplacementField | None = None
) -> PairOverlap:
    """Compares the labels of the fixed image with labels warped to its grid.

    Raises:
        InputError: maps on different grids, without a label above 0 or without one in common; a displacement on another
            grid.
    """
    import torch

    from UltrasoundMotionLib.fields.image_grid import ImageGrid
    from UltrasoundMotionLib.fields.jacobian import jacobian_measures
    from UltrasoundMotionLib.similarity import dice, surface_distance

    grid = ImageGrid.of(fixed)
    others = {"labels": ImageGrid.of(warped)} | ({} if displacement is None else {"displacement": displacement.grid})
    for what, other in others.items():
        tolerance_mm = 1e-3 * min(grid.spacing_mm) * max(grid.shape)
        if other.dimension != grid.dimension or not grid.matches(other, tolerance_mm=tolerance_mm):
            raise InputError(
                f"{name}: the {what} lie on another grid ({other.shape[::-1]} voxels) "
                f"than the fixed labels ({grid.shape[::-1]})"
            )
    first, second = (_whole_labels(one) for one in (fixed, warped))
    present = [{int(value) for value in np.unique(one) if value > 0} for one in (first, second)]
    if not present[0] & present[1]:
        raise InputError(
            f"{name}: the fixed map holds {sorted(present[0])} and the other {sorted(present[1])}: no label in common"
        )
    overlap = dice(torch.from_numpy(first), torch.from_numpy(second))
    distances = surface_distance(first, second, fixed.spacing_mm, list(overlap))
    jacobian = jacobian_inside = None
    if displacement is not None:
        field = displacement.to_voxels()
        jacobian, jacobian_inside = jacobian_measures(field), jacobian_measures(field, torch.from_numpy(first > 0))
    surfaces = {label: one.hd95_mm for label, one in distances.items()}
    return PairOverlap(name, overlap, surfaces, jacobian, jacobian_inside)


def _whole_labels(volume: Volume) -> np.ndarray:
    """Returns a label map as int64.

    Raises:
        InputError: values that are no whole numbers.
    """
    array = volume.array
    if array.dtype.kind == "f":
        wrong = array[(array != np.trunc(array)) | (np.abs(array) > 2**53)]
        if wrong.size:
            raise InputError(f"{volume.name}: labels must be whole numbers, got {wrong.ravel()[0]:g}")
    return array.astype(np.int64)


def _means(measures: Sequence[dict[str, float]]) -> dict[str, float] | None:
    """Returns the mean of each measure; None of none."""
    return {key: _mean([one[key] for one in measures]) for key in measures[0]} if measures else None


def _mean(values: Sequence[float]) -> float:
    kept = [value for value in values if np.isfinite(value)]
    return float(np.mean(kept)) if kept else float("nan")
