"""Variants of semantic registration, trained alike and measured: Table 1 and Sec. 3.1 of Ha et al. (Sensors 2020) on
public data.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.lab.benchmarks.rows import RowFile
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, CaseMeasure, Column
from UltrasoundMotionLib.progress import Progress, no_progress

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledPair, TrainingSubject
    from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationPlan
    from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain

UNREGISTERED = "no registration"
PUBLISHED = "published"
"""The variant that all are compared with by default."""
ROWS_NAME = "rows.jsonl"
Predict = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass(frozen=True)
class VariantRow:
    """Means over the pairs.

    Attributes:
        variant: of `VARIANTS`, or "no registration".
        dice: by label's name, of labels warped by nearest neighbour.
        contour_mm: Eq. 6, mean over the labels.
        hd95_mm: the same for the 95th percentile of the distances.
        jacobian_std: standard deviation of the Jacobian determinant.
        negatives: share of voxels where it is not above 0.
        seconds: of the processor for a pair, median: what else the machine does has no part in it.
        parameters: of the networks.
        training_seconds: of the processor.
        by_pair: mean Dice over the labels of each pair.
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

    @property
    def mean_dice(self) -> float:
        """Mean over the labels."""
        return float(np.mean(list(self.dice.values())))

    def as_dict(self) -> dict[str, Any]:
        """Returns what JSON keeps of it."""
        return {name: value for name, value in asdict(self).items() if name != "by_pair"}


CASES: CaseMeasure[VariantRow] = CaseMeasure("Dice", values=lambda row: row.by_pair, method=lambda row: row.variant)


def variant_columns(labels: Sequence[str]) -> tuple[Column[VariantRow], ...]:
    """The paper's columns, with one for each label; what belongs to a network is empty where nothing is registered."""

    def of_network(value: Callable[[VariantRow], float | int]) -> Callable[[VariantRow], float | int | None]:
        return lambda row: value(row) if row.parameters else None

    def of_label(row: VariantRow, label: str) -> float:
        return row.dice[label]

    return (
        Column("variant", "variant", names_method=True),
        Column("Dice", "mean_dice"),
        *(Column(label, partial(of_label, label=label)) for label in labels),
        Column("contour", "contour_mm", 2, unit="mm"),
        Column("HD95", "hd95_mm", 2, unit="mm"),
        Column("Jacobian std", of_network(lambda row: row.jacobian_std)),
        Column("negatives", of_network(lambda row: 100 * row.negatives), unit="%"),
        Column("core-s/pair", of_network(lambda row: row.seconds)),
        Column("parameters", of_network(lambda row: row.parameters)),
    )


def run_semantic_ablation(
    dataset: str,
    folder: str | Path,
    *,
    steps: int,
    out: str | Path,
    pairs: int = 20,
    variants: Sequence[str] | None = None,
    part: str = "validation",
    seed: int = 1,
    subjects: int | None = None,
    progress: Progress = no_progress,
) -> BenchmarkResult[VariantRow]:
    """Trains each variant for the same number of steps from the same seed and measures it on the same pairs, on the
    grid of its domain.

    "poly-affine" is the network of "published" with its fields changed afterwards, and needs no training of its own.

    Args:
        dataset: "hippocampus" (random pairs) or "cardiac" (end-systole onto end-diastole, the paper's grid).
        folder: of the data set.
        steps: of the optimizer, for each variant; the rate's rise and fall is fitted to them.
        out: folder of states and of the rows (`rows.jsonl`). A variant that has its row there is not run again, one
            that was interrupted goes on.
        pairs: at most.
        variants: names, in the order of the table; None: all.
        part: "held-out" or "validation", see `learned_part`.
        subjects: learn from so many only.

    Raises:
        InputError: no such data set, data, variant; a folder of another run.
        OutputError: `out` cannot be written.
        Cancelled: `progress` raised it; finished rows and the state of the one at work remain.
    """
    import torch

    from UltrasoundMotionLib.lab.training.data.registration_subjects import read_subjects
    from UltrasoundMotionLib.registration.methods.semantic.two_step_config import VARIANTS, find_variant

    names = list(VARIANTS) if variants is None else [find_variant(name).name for name in variants]
    domain = _plan(dataset, PUBLISHED, steps, seed).objective.domain
    out = Path(out)
    settings = {"dataset": dataset, "steps": steps, "pairs": pairs, "part": part, "seed": seed, "subjects": subjects}
    learned = cache(lambda: read_subjects(dataset, folder, "train", domain, most=subjects, progress=progress))
    scored = read_subjects(dataset, folder, part, domain, progress=progress)
    cases = _cases(scored, dataset, pairs)
    rows = [
        _measured(UNREGISTERED, cases, domain, lambda fixed, moving: torch.zeros(1, fixed.ndim - 2, *fixed.shape[2:]))
    ]
    kept = RowFile(out / ROWS_NAME, VariantRow, settings, case=lambda row: row.variant, one_run=True)
    for name in names:

        def measure(name: str = name) -> VariantRow:
            return _trained_and_measured(
                name, dataset, learned(), cases, steps=steps, seed=seed, out=out, progress=progress
            )

        rows.append(kept.row(name, measure))
    details = {"dataset": dataset, "part": part, "pairs": len(cases), "steps": steps, "seed": seed}
    columns = variant_columns(list(domain.labels.values()))
    return BenchmarkResult(columns, tuple(rows), details=details, cases=CASES, against=PUBLISHED)


def _cases(subjects: Sequence[TrainingSubject], dataset: str, most: int) -> list[LabelledPair]:
    from UltrasoundMotionLib.lab.registration_datasets import evenly
    from UltrasoundMotionLib.lab.training.data.pair_settings import PairSettings
    from UltrasoundMotionLib.lab.training.data.registration_pairs import pair_list

    pairs = pair_list(subjects, PairSettings("phases" if dataset == "cardiac" else "random"))
    everything = {pair.name: pair for pair in pairs}
    return [everything[name] for name in evenly(list(everything), most)]


def _trained_and_measured(
    name: str,
    dataset: str,
    learned: Sequence[TrainingSubject],
    cases: Sequence[LabelledPair],
    *,
    steps: int,
    seed: int,
    out: Path,
    progress: Progress,
) -> VariantRow:
    from UltrasoundMotionLib.registration.methods.semantic.poly_affine import poly_affine
    from UltrasoundMotionLib.registration.methods.semantic.two_step import predict_two_step
    from UltrasoundMotionLib.registration.methods.semantic.two_step_config import find_variant

    variant = find_variant(name)
    network_of = PUBLISHED if variant.poly_affine else name
    plan = _plan(dataset, network_of, steps, seed)
    started = time.process_time()
    _train(plan, learned, out / network_of, progress)
    spent = time.process_time() - started
    network = plan.objective.network.eval()

    def predict(fixed: Tensor, moving: Tensor) -> Tensor:
        found = predict_two_step(network, fixed, moving)
        return poly_affine(found) if variant.poly_affine else found

    parameters = sum(value.numel() for value in network.parameters())
    return _measured(name, cases, plan.objective.domain, predict, parameters=parameters, training_seconds=spent)


def _plan(dataset: str, variant: str, steps: int, seed: int) -> RegistrationPlan:
    from UltrasoundMotionLib.lab.training.recipes.semantic import SemanticRecipe

    plan = SemanticRecipe().make(dataset, variant, seed=seed)
    return replace(plan, settings=replace(plan.settings, steps=steps, validate_every=0))


def _train(plan: RegistrationPlan, learned: Sequence[TrainingSubject], folder: Path, progress: Progress) -> None:
    """Trains in place, going on from what is in the folder."""
    from UltrasoundMotionLib.lab.training.data.registration_pairs import PairBatches
    from UltrasoundMotionLib.lab.training.state import STATE_NAME
    from UltrasoundMotionLib.lab.training.trainer import train

    def report(done: int, total: int, message: str) -> None:
        progress(done, total, f"{folder.name}: {message}")

    train(
        folder,
        plan.objective,
        PairBatches(learned, plan.batch, plan.settings.seed),
        plan.settings,
        resume=(folder / STATE_NAME).exists(),
        progress=report,
    )


def _measured(
    name: str,
    cases: Sequence[LabelledPair],
    domain: ModelDomain,
    predict: Predict,
    *,
    parameters: int = 0,
    training_seconds: float = 0.0,
) -> VariantRow:
    import torch

    from UltrasoundMotionLib.fields import jacobian_measures, warp
    from UltrasoundMotionLib.lab.training.data.registration_pairs import tensors_of
    from UltrasoundMotionLib.similarity import dice, surface_distance

    spacing = [1.0 if one is None else one for one in domain.spacing_mm]
    rows = []
    by_pair = {}
    for pair, fixed, moving in cases:
        (fixed_image, fixed_labels), (moving_image, moving_labels) = (
            tensors_of(one, torch.device("cpu")) for one in (fixed, moving)
        )
        started = time.process_time()
        field = predict(fixed_image, moving_image)
        seconds = time.process_time() - started
        warped = warp(moving_labels[:, None], field, mode="nearest")[:, 0]
        distances = surface_distance(fixed_labels[0].numpy(), warped[0].numpy(), spacing, list(domain.labels))
        jacobian = jacobian_measures(field)
        overlap = dice(fixed_labels, warped, list(domain.labels))
        by_pair[pair] = _mean(list(overlap.values()))
        rows.append(
            {
                **{f"dice {label}": value for label, value in overlap.items()},
                "contour": _mean([one.mean_mm for one in distances.values()]),
                "hd95": _mean([one.hd95_mm for one in distances.values()]),
                "std": jacobian.std,
                "negatives": jacobian.share_nonpositive,
                "seconds": seconds,
            }
        )
    means = {key: _mean([row[key] for row in rows]) for key in rows[0]}
    return VariantRow(
        variant=name,
        dice={text: means[f"dice {label}"] for label, text in domain.labels.items()},
        contour_mm=means["contour"],
        hd95_mm=means["hd95"],
        jacobian_std=means["std"],
        negatives=means["negatives"],
        seconds=float(np.median([row["seconds"] for row in rows])),
        parameters=parameters,
        training_seconds=training_seconds,
        by_pair=by_pair,
    )


def _mean(values: Sequence[float]) -> float:
    """Returns the mean of those that are finite: a label that an image lacks has no distance."""
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
