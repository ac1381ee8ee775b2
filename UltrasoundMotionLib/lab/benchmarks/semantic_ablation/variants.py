"""Table 1 and Sec. 3.1 of Ha et al.

(Sensors 2020) on public data: every variant of semantic registration trained alike, and measured.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from UltrasoundMotionLib.lab.benchmarks.kept_rows import kept_row
from UltrasoundMotionLib.lab.benchmarks.table import Target
from UltrasoundMotionLib.progress import Progress, no_progress
from UltrasoundMotionLib.text_table import format_number, markdown_table, text_table

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledPair, TrainingSubject
    from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationPlan
    from UltrasoundMotionLib.registration.learned.model_domain import ModelDomain

UNREGISTERED = "no registration"
Predict = Callable[["Tensor", "Tensor"], "Tensor"]


@dataclass(frozen=True)
class AblationRow:
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

    @property
    def mean_dice(self) -> float:
        """Over the labels."""
        return float(np.mean(list(self.dice.values())))


@dataclass(frozen=True)
class SemanticAblation:
    """The table, and what it was made with."""

    rows: tuple[AblationRow, ...]
    dataset: str
    part: str
    pairs: int
    steps: int
    seed: int

    def table(self, *, markdown: bool = False) -> str:
        """One line a variant, with the paper's columns."""
        names = list(self.rows[0].dice)
        header = [
            "variant",
            "Dice",
            *names,
            "contour mm",
            "HD95 mm",
            "Jacobian std",
            "negatives %",
            "core-s/pair",
            "parameters",
        ]
        lines = []
        for row in self.rows:
            numbers = [row.mean_dice, *row.dice.values()]
            cells = [format_number(value) for value in numbers] + [
                format_number(value, 2) for value in (row.contour_mm, row.hd95_mm)
            ]
            still = row.variant == UNREGISTERED
            cells += (
                ["-"] * 4
                if still
                else [
                    format_number(row.jacobian_std),
                    f"{100 * row.negatives:.3f}",
                    f"{row.seconds:.3f}",
                    str(row.parameters),
                ]
            )
            lines.append([row.variant, *cells])
        return (markdown_table if markdown else text_table)(header, lines)

    def targets(self) -> Sequence[Target]:
        """None: an ablation compares."""
        return ()

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


def run_semantic_ablation(
    dataset: str,
    folder: str | Path,
    *,
    steps: int,
    out: str | Path,
    pairs: int = 20,
    variants: Sequence[str] | None = None,
    part: str = "held-out",
    seed: int = 1,
    subjects: int | None = None,
    progress: Progress = no_progress,
) -> SemanticAblation:
    """Trains each variant for the same number of steps from the same seed and measures it on the same pairs, on the
    grid of its domain.

    "poly-affine" is the network of "published" with its fields changed afterwards, and needs no training of its own.

    Args:
        dataset: "hippocampus" (random pairs) or "cardiac" (end-systole onto end-diastole, the paper's grid).
        folder: of the data set.
        steps: of the optimizer, for each variant; the rate's rise and fall is fitted to them.
        out: folder of states and rows. A variant that has its row there is not run again, one that was interrupted goes
            on.
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
    domain = _plan(dataset, "published", steps, seed).objective.domain
    out = Path(out)
    settings = {"dataset": dataset, "steps": steps, "pairs": pairs, "part": part, "seed": seed, "subjects": subjects}
    learned = cache(lambda: read_subjects(dataset, folder, "train", domain, most=subjects, progress=progress))
    scored = read_subjects(dataset, folder, part, domain, progress=progress)
    cases = _cases(scored, dataset, pairs)
    rows = [
        _measured(UNREGISTERED, cases, domain, lambda fixed, moving: torch.zeros(1, fixed.ndim - 2, *fixed.shape[2:]))
    ]
    for name in names:

        def make(name: str = name) -> AblationRow:
            return _trained_and_measured(
                name, dataset, learned(), cases, steps=steps, seed=seed, out=out, progress=progress
            )

        rows.append(kept_row(out / f"{name}.json", settings, AblationRow, make))
    return SemanticAblation(tuple(rows), dataset, part, len(cases), steps, seed)


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
) -> AblationRow:
    from UltrasoundMotionLib.registration.methods.semantic.poly_affine import poly_affine
    from UltrasoundMotionLib.registration.methods.semantic.two_step import predict_two_step
    from UltrasoundMotionLib.registration.methods.semantic.two_step_config import find_variant

    variant = find_variant(name)
    network_of = "published" if variant.poly_affine else name
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

    def told(done: int, total: int, message: str) -> None:
        progress(done, total, f"{folder.name}: {message}")

    train(
        folder,
        plan.objective,
        PairBatches(learned, plan.batch, plan.settings.seed),
        plan.settings,
        resume=(folder / STATE_NAME).exists(),
        progress=told,
    )


def _measured(
    name: str,
    cases: Sequence[LabelledPair],
    domain: ModelDomain,
    predict: Predict,
    *,
    parameters: int = 0,
    training_seconds: float = 0.0,
) -> AblationRow:
    import torch

    from UltrasoundMotionLib.fields import jacobian_measures, warp
    from UltrasoundMotionLib.lab.training.data.registration_pairs import tensors_of
    from UltrasoundMotionLib.similarity import dice, surface_distance

    spacing = [1.0 if one is None else one for one in domain.spacing_mm]
    rows = []
    for _, fixed, moving in cases:
        (fixed_image, fixed_labels), (moving_image, moving_labels) = (
            tensors_of(one, torch.device("cpu")) for one in (fixed, moving)
        )
        started = time.process_time()
        field = predict(fixed_image, moving_image)
        seconds = time.process_time() - started
        warped = warp(moving_labels[:, None], field, mode="nearest")[:, 0]
        distances = surface_distance(fixed_labels[0].numpy(), warped[0].numpy(), spacing, list(domain.labels))
        jacobian = jacobian_measures(field)
        rows.append(
            {
                **{f"dice {label}": value for label, value in dice(fixed_labels, warped, list(domain.labels)).items()},
                "contour": _mean([one.mean_mm for one in distances.values()]),
                "hd95": _mean([one.hd95_mm for one in distances.values()]),
                "std": jacobian.std,
                "negatives": jacobian.share_nonpositive,
                "seconds": seconds,
            }
        )
    means = {key: _mean([row[key] for row in rows]) for key in rows[0]}
    return AblationRow(
        variant=name,
        dice={text: means[f"dice {label}"] for label, text in domain.labels.items()},
        contour_mm=means["contour"],
        hd95_mm=means["hd95"],
        jacobian_std=means["std"],
        negatives=means["negatives"],
        seconds=float(np.median([row["seconds"] for row in rows])),
        parameters=parameters,
        training_seconds=training_seconds,
    )


def _mean(values: Sequence[float]) -> float:
    """Of those that are finite: a label that an image lacks has no distance."""
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else math.nan
