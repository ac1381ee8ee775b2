"""Writes what a training gave: weights and the draft of their card, whose held-out figures are for a benchmark to add."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from UltrasoundMotionLib.lab.training.registration.recipe import Recipe
from UltrasoundMotionLib.weights import ModelCard, save_weights

SOURCES = {
    "hippocampus": (
        "Task04 Hippocampus of the Medical Segmentation Decathlon (Simpson et al., 2019): {count} subjects with numbers up to 305",
        "never seen: subjects from 320 on; validated on those between",
    ),
    "cardiac": (
        "ACDC (Bernard et al., 2018), end-diastole and end-systole: {count} patients, the first ten of every group of twenty",
        "never seen: from the twelfth patient of every group on; validated on the eleventh",
    ),
}
LICENCES = {"hippocampus": "CC-BY-SA-4.0", "cardiac": "LicenseRef-ACDC-research-only"}


def save_trained(
    folder: Path,
    recipe: Recipe,
    dataset: str,
    *,
    subjects: int,
    command: str,
    validation: Mapping[str, float],
    validation_subjects: int,
) -> ModelCard:
    """Writes `folder/NAME.safetensors` and `folder/NAME.json`.

    Raises:
        OutputError: they cannot be written.
    """
    objective = recipe.objective
    card = ModelCard(
        name=objective.name,
        architecture=objective.architecture,
        configuration=objective.configuration(),
        task=objective.task,
        trained_on=tuple(line.format(count=subjects) for line in SOURCES[dataset]),
        command=command,
        seed=recipe.training.seed,
        commit=current_commit(),
        measured={f"validation_{name}": value for name, value in validation.items()},
        measured_with=f"the training command itself at its last validation, one pair of each of {validation_subjects} subjects",
        limits=objective.limits,
        licence=LICENCES[dataset],
    )
    return save_weights(folder, objective.weights(), card)


def current_commit() -> str:
    """Of the checkout this runs in, shortened; empty where there is none."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return found.stdout.strip()
