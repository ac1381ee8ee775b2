"""The rows of Table 1 of Ha et al. (Sensors 2020): each method trained where it is trained, and measured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.benchmarks.field_methods import FieldMethod, measured_rows, trained_method
from UltrasoundMotionLib.lab.benchmarks.field_rows import CASES, UNREGISTERED, FieldRow, field_columns
from UltrasoundMotionLib.lab.benchmarks.kept_training import PaperBudget, made_folder
from UltrasoundMotionLib.lab.benchmarks.rows import RowFile
from UltrasoundMotionLib.lab.benchmarks.table import BenchmarkResult, Column
from UltrasoundMotionLib.progress import Progress, no_progress

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.registration_pairs import TrainingSubject

SHAPE_REGRESSION, FLOWNET, PUBLISHED = "esr-cpd", "flownet", "published"
REPORTED = {
    UNREGISTERED: (0.230, 15.55),
    SHAPE_REGRESSION: (0.656, 1.96),
    "bspline-flownet": (0.494, 5.96),
    FLOWNET: (0.306, 12.83),
    "without-guidance": (0.555, 5.41),
    "shared-weights": (0.604, 5.02),
    "diffeomorphic": (0.520, 5.66),
    "poly-affine": (0.658, 3.95),
    PUBLISHED: (0.660, 4.01),
}
"""Table 1: Dice and contour distance in pixels."""
METHODS = tuple(name for name in REPORTED if name != UNREGISTERED)
FURTHER = ("transformation", "single-step", "pre-trained")
"""Variants of Sec. 3.1 that are not in the table, run where they are asked for."""


def run_semantic_faces(
    folder: str | Path,
    out: str | Path,
    budget: PaperBudget,
    *,
    landmarks: str | Path | None = None,
    methods: Sequence[str] = METHODS,
    progress: Progress = no_progress,
) -> BenchmarkResult[FieldRow]:
    """Trains and measures the methods on faces of 320 x 260 pixels.

    "poly-affine" is the network of "published" with its fields changed afterwards, and needs no training of its own.

    Args:
        folder: of Smith et al.'s resized Helen images, see `helen_faces`.
        out: folder of states, weights and rows (`rows.jsonl`). A method that has its row there is not run again, one
            that was interrupted goes on.
        landmarks: folder of Helen's annotation files; without it "esr-cpd" and "flownet" are left out.

    Raises:
        InputError: data that is not there or cannot be used, an unknown method; a folder of another run.
        OutputError: `out` cannot be written.
        Cancelled: `progress` raised it; finished rows and the state of the training remain.
    """
    from UltrasoundMotionLib.lab.benchmarks.semantic_faces.faces import FACES, face_pairs, read_faces, subjects_of
    from UltrasoundMotionLib.lab.benchmarks.semantic_faces.landmark_rows import (
        flownet_predict,
        landmarks_missing,
        shape_regression_predict,
    )
    from UltrasoundMotionLib.lab.helen_faces import face_names, read_landmarks
    from UltrasoundMotionLib.lab.registration_datasets import evenly

    folder = Path(folder)
    unknown = next((name for name in methods if name not in (*METHODS, *FURTHER)), None)
    if unknown is not None:
        raise InputError(f"methods: there is no {unknown}; choose of {', '.join((*METHODS, *FURTHER))}")
    learnt, measured = face_names(folder)
    learnt = evenly(learnt, budget.subjects or len(learnt))
    measured = evenly(measured, budget.pairs or len(measured))
    points = None if landmarks is None else read_landmarks(landmarks)
    settings = {
        "epochs": budget.epochs,
        "batch": budget.batch,
        "faces": learnt,
        "pairs": measured,
        "seed": budget.seed,
    }
    read = partial(read_faces, folder, landmarks=points, progress=progress)
    training = cache(lambda: read(names=learnt))
    test = read(names=measured)
    cases = face_pairs(test)
    out = made_folder(out)
    kept = RowFile(out / "rows.jsonl", FieldRow, settings, case=lambda row: row.variant, one_run=True)

    def make(name: str) -> FieldMethod:
        if name == SHAPE_REGRESSION:
            return FieldMethod(shape_regression_predict(training(), test, progress=progress))
        if name == FLOWNET:
            return FieldMethod(flownet_predict(test, budget.device))
        return _trained(name, subjects_of(training()), out, budget, progress=progress)

    reason = landmarks_missing(points)
    missing = {name: reason for name in methods if reason and name in (SHAPE_REGRESSION, FLOWNET)}
    chosen = [name for name in methods if name not in missing]
    rows, not_installed = measured_rows(chosen, make, cases, FACES, kept, device=budget.device, progress=progress)
    details = {**settings, "faces": len(learnt), "pairs": len(measured)}
    columns = _columns(list(FACES.labels.values()))
    missing |= not_installed
    return BenchmarkResult(columns, rows, details=details, cases=CASES, against=PUBLISHED, missing=missing)


def _columns(labels: Sequence[str]) -> tuple[Column[FieldRow], ...]:
    """Returns the columns of fields, Dice and contour followed by the paper's."""
    columns: list[Column[FieldRow]] = []
    for column in field_columns(labels, unit="px"):
        columns.append(column)
        if column.header in ("Dice", "contour"):
            place = ("Dice", "contour").index(column.header)
            columns.append(Column("paper", partial(_reported, place=place), column.digits))
    return tuple(columns)


def _reported(row: FieldRow, place: int) -> float | None:
    return REPORTED[row.variant][place] if row.variant in REPORTED else None


def _trained(
    name: str, subjects: Sequence[TrainingSubject], out: Path, budget: PaperBudget, *, progress: Progress
) -> FieldMethod:
    """Trains a variant of the paper's network."""
    from UltrasoundMotionLib.lab.benchmarks.semantic_faces.faces import FACES
    from UltrasoundMotionLib.lab.training.data.epoch_pairs import EpochPairs
    from UltrasoundMotionLib.lab.training.published_semantic import AFFINE, published_objective, published_settings
    from UltrasoundMotionLib.lab.training.trained_weights import draft_card
    from UltrasoundMotionLib.registration.methods.semantic.poly_affine import poly_affine
    from UltrasoundMotionLib.registration.methods.semantic.two_step_config import find_variant

    variant, seed = find_variant(name), budget.seed
    network_of = PUBLISHED if variant.poly_affine else name
    objective = published_objective(find_variant(network_of), FACES, name=f"semantic-faces-{network_of}", seed=seed)
    batches = EpochPairs(subjects, size=budget.batch, affine=AFFINE, seed=seed)
    card = draft_card(
        objective,
        trained_on=(f"Helen (Le et al., 2012) with the labels of Smith et al. (2013): {len(subjects)} faces",),
        command=(
            "ultrasound-motion benchmark semantic-faces --data HELEN --out OUT "
            f"--epochs {budget.epochs} --batch {budget.batch} --seed {seed}"
        ),
        seed=seed,
        measured_with="the table that the command prints",
        licence="unknown",
    )
    return trained_method(
        out / network_of,
        objective,
        batches,
        published_settings(budget.epochs, batches.epoch_steps, seed),
        card=card,
        device=budget.device,
        after=poly_affine if variant.poly_affine else None,
        progress=progress,
    )
