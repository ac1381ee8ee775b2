"""Variants of semantic registration, trained alike and measured: Table 1 and Sec. 3.1 of Ha et al. (Sensors 2020) on
public data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.lab.benchmarks.field_methods import FieldMethod, measured_rows, trained_method
from UltrasoundMotionLib.lab.benchmarks.field_rows import CASES, FieldRow, field_columns
from UltrasoundMotionLib.lab.benchmarks.rows import RowFile
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult
from UltrasoundMotionLib.progress import Progress, no_progress

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.registration_pairs import LabelledPair, TrainingSubject
    from UltrasoundMotionLib.lab.training.registration_recipe import RegistrationPlan

PUBLISHED = "published"
"""The variant that all are compared with by default."""
ROWS_NAME = "rows.jsonl"


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
) -> BenchmarkResult[FieldRow]:
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
    from UltrasoundMotionLib.lab.training.data.registration_subjects import read_subjects
    from UltrasoundMotionLib.registration.methods.semantic.two_step_config import VARIANTS, find_variant

    names = list(VARIANTS) if variants is None else [find_variant(name).name for name in variants]
    domain = _plan(dataset, PUBLISHED, steps, seed).objective.domain
    out = Path(out)
    settings = {"dataset": dataset, "steps": steps, "pairs": pairs, "part": part, "seed": seed, "subjects": subjects}
    learned = cache(lambda: read_subjects(dataset, folder, "train", domain, most=subjects, progress=progress))
    scored = read_subjects(dataset, folder, part, domain, progress=progress)
    cases = _cases(scored, dataset, pairs)
    kept = RowFile(out / ROWS_NAME, FieldRow, settings, case=lambda row: row.variant, one_run=True)

    def make(name: str) -> FieldMethod:
        return _trained(name, dataset, learned(), steps=steps, seed=seed, out=out, progress=progress)

    rows, missing = measured_rows(names, make, cases, domain, kept, progress=progress)
    details = {"dataset": dataset, "part": part, "pairs": len(cases), "steps": steps, "seed": seed}
    columns = field_columns(list(domain.labels.values()))
    return BenchmarkResult(columns, rows, details=details, cases=CASES, against=PUBLISHED, missing=missing)


def _cases(subjects: Sequence[TrainingSubject], dataset: str, most: int) -> list[LabelledPair]:
    from UltrasoundMotionLib.lab.registration_datasets import evenly
    from UltrasoundMotionLib.lab.training.data.pair_settings import PairSettings
    from UltrasoundMotionLib.lab.training.data.registration_pairs import pair_list

    pairs = pair_list(subjects, PairSettings("phases" if dataset == "cardiac" else "random"))
    everything = {pair.name: pair for pair in pairs}
    return [everything[name] for name in evenly(list(everything), most)]


def _trained(
    name: str,
    dataset: str,
    learned: Sequence[TrainingSubject],
    *,
    steps: int,
    seed: int,
    out: Path,
    progress: Progress,
) -> FieldMethod:
    from UltrasoundMotionLib.lab.training.data.registration_pairs import PairBatches
    from UltrasoundMotionLib.registration.methods.semantic.poly_affine import poly_affine
    from UltrasoundMotionLib.registration.methods.semantic.two_step_config import find_variant

    variant = find_variant(name)
    network_of = PUBLISHED if variant.poly_affine else name
    plan = _plan(dataset, network_of, steps, seed)
    batches = PairBatches(learned, plan.batch, plan.settings.seed)
    after = poly_affine if variant.poly_affine else None
    return trained_method(out / network_of, plan.objective, batches, plan.settings, after=after, progress=progress)


def _plan(dataset: str, variant: str, steps: int, seed: int) -> RegistrationPlan:
    from UltrasoundMotionLib.lab.training.recipes.semantic import SemanticRecipe

    plan = SemanticRecipe().make(dataset, variant, seed=seed)
    return replace(plan, settings=replace(plan.settings, steps=steps, validate_every=0))
