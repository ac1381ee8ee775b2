"""The rows of Table 2 of Ha et al. (Sensors 2020): each method trained where it is trained, and measured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.lab.benchmarks.field_methods import FieldMethod, measured_rows, trained_method
from UltrasoundMotionLib.lab.benchmarks.field_rows import CASES, UNREGISTERED, FieldRow, Predict, field_columns
from UltrasoundMotionLib.lab.benchmarks.kept_training import PaperBudget, made_folder
from UltrasoundMotionLib.lab.benchmarks.rows import RowFile
from UltrasoundMotionLib.lab.benchmarks.semantic_hearts.splits import split_patients
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column
from UltrasoundMotionLib.lab.training.published_semantic import AFFINE
from UltrasoundMotionLib.progress import Progress, no_progress

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.registration_pairs import TrainingSubject
    from UltrasoundMotionLib.lab.training.objectives.registration import RegistrationObjective
    from UltrasoundMotionLib.lab.training.settings import TrainingSettings

LCC_DEMONS, VOXELMORPH, PUBLISHED = "lcc-demons", "voxelmorph", "semantic-published"
METHODS = (LCC_DEMONS, VOXELMORPH, PUBLISHED)
REPORTED = {
    UNREGISTERED: {"RV": 0.651, "LV": 0.660, "myocardium": 0.525, "mean": 0.612},
    LCC_DEMONS: {"RV": 0.706, "LV": 0.776, "myocardium": 0.730, "mean": 0.737},
    VOXELMORPH: {"RV": 0.681, "LV": 0.743, "myocardium": 0.697, "mean": 0.707},
    PUBLISHED: {"RV": 0.774, "LV": 0.825, "myocardium": 0.734, "mean": 0.778},
}
"""Table 2. The figures of the two baselines are quoted there from Krebs et al. (2018), on other patients."""

_NOT_RUN = {"Krebs et al.": "not run here; the paper quotes 0.715 (RV 0.684, LV 0.756, myocardium 0.704)"}
_LICENCE = "LicenseRef-ACDC-research-only"


def run_semantic_hearts(
    folder: str | Path,
    out: str | Path,
    budget: PaperBudget,
    *,
    split: str,
    methods: Sequence[str] = METHODS,
    progress: Progress = no_progress,
) -> BenchmarkResult[FieldRow]:
    """Trains and measures the methods on the grid of the paper.

    Args:
        folder: of ACDC's training patients.
        out: folder of states, weights and rows (`rows.jsonl`). A method that has its row there is not run again, one
            that was interrupted goes on.
        budget: its batch is the two-step network's; VoxelMorph takes one pair in a step.
        split: see `split_patients`.

    Raises:
        InputError: data that is not there or cannot be used; a folder of another run.
        OutputError: `out` cannot be written.
        Cancelled: `progress` raised it; finished rows and the state of the training remain.
    """
    from UltrasoundMotionLib.lab.registration_datasets import acdc_patients, evenly
    from UltrasoundMotionLib.lab.training.data.pair_settings import PairSettings
    from UltrasoundMotionLib.lab.training.data.registration_pairs import pair_list
    from UltrasoundMotionLib.lab.training.data.registration_subjects import read_named_subjects
    from UltrasoundMotionLib.registration.learned.model_domain import CARDIAC_CINE_PUBLISHED

    folder, domain = Path(folder), CARDIAC_CINE_PUBLISHED
    learnt, measured = split_patients(acdc_patients(folder), split)
    learnt = evenly(learnt, budget.subjects or len(learnt))
    measured = evenly(measured, budget.pairs or len(measured))
    settings = {
        "split": split,
        "epochs": budget.epochs,
        "batch": budget.batch,
        "patients": learnt,
        "pairs": measured,
        "seed": budget.seed,
    }
    read = partial(read_named_subjects, "cardiac", folder, domain=domain, progress=progress)
    subjects = cache(lambda: read(names=learnt))
    cases = pair_list(read(names=measured), PairSettings("phases"))
    out = made_folder(out)
    kept = RowFile(out / "rows.jsonl", FieldRow, settings, case=lambda row: row.variant, one_run=True)

    def make(name: str) -> FieldMethod:
        if name == LCC_DEMONS:
            return FieldMethod(_demons(domain.spacing_mm))
        return _trained(name, subjects(), out, budget, split=split, progress=progress)

    rows, missing = measured_rows(methods, make, cases, domain, kept, device=budget.device, progress=progress)
    details = {**settings, "patients": len(learnt), "pairs": len(measured)}
    return BenchmarkResult(
        _columns(list(domain.labels.values())),
        rows,
        details=details,
        cases=CASES,
        against=PUBLISHED,
        missing={**_NOT_RUN, **missing},
    )


def _columns(labels: Sequence[str]) -> tuple[Column[FieldRow], ...]:
    """Returns the columns of fields, each Dice followed by the paper's."""
    columns: list[Column[FieldRow]] = []
    for column in field_columns(labels):
        columns.append(column)
        label = "mean" if column.header == "Dice" else column.header
        if label in ("mean", *labels):
            columns.append(Column("paper", partial(_reported, label=label)))
    return tuple(columns)


def _reported(row: FieldRow, label: str) -> float:
    return REPORTED[row.variant][label]


def _demons(spacing_mm: Sequence[Any]) -> Predict:
    from UltrasoundMotionLib.lab.benchmarks.semantic_hearts.lcc_demons import lcc_demons

    return lambda pair, fixed, moving: lcc_demons(fixed, moving, spacing_mm)


def _trained(
    name: str, subjects: Sequence[TrainingSubject], out: Path, budget: PaperBudget, *, split: str, progress: Progress
) -> FieldMethod:
    """Trains a network."""
    from UltrasoundMotionLib.lab.training.data.epoch_pairs import EpochPairs
    from UltrasoundMotionLib.lab.training.published_semantic import (
        published_objective,
        published_settings,
        voxelmorph_objective,
        voxelmorph_settings,
    )
    from UltrasoundMotionLib.lab.training.trained_weights import draft_card
    from UltrasoundMotionLib.registration.learned.model_domain import CARDIAC_CINE_PUBLISHED
    from UltrasoundMotionLib.registration.methods.semantic.two_step_config import find_variant

    objective: RegistrationObjective
    settings: TrainingSettings
    weights, seed = f"{name}-cardiac", budget.seed
    if name == PUBLISHED:
        variant = find_variant("published")
        objective = published_objective(variant, CARDIAC_CINE_PUBLISHED, name=weights, seed=seed)
        batches = EpochPairs(subjects, size=budget.batch, affine=AFFINE, seed=seed)
        settings = published_settings(budget.epochs, batches.epoch_steps, seed)
    else:
        objective = voxelmorph_objective(CARDIAC_CINE_PUBLISHED, name=weights, seed=seed)
        batches = EpochPairs(subjects, size=1, affine=0.0, seed=seed)
        settings = voxelmorph_settings(budget.epochs * batches.epoch_steps, seed)
    card = draft_card(
        objective,
        trained_on=(f"ACDC (Bernard et al., 2018), end-diastole and end-systole: {len(subjects)} patients",),
        command=(
            f"ultrasound-motion benchmark semantic-hearts --data DATA/acdc --out OUT --split {split} "
            f"--epochs {budget.epochs} --batch {budget.batch} --seed {seed}"
        ),
        seed=seed,
        measured_with="the table that the command prints",
        licence=_LICENCE,
    )
    return trained_method(out / name, objective, batches, settings, card=card, device=budget.device, progress=progress)
