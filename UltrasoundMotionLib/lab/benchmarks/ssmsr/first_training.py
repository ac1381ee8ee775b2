"""The networks that are trained on the training set, before any test image is seen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.lab.benchmarks.kept_training import train_kept
from UltrasoundMotionLib.progress import Progress
from UltrasoundMotionLib.registration.methods.multiscale.settings import SsmsrSettings

if TYPE_CHECKING:
    from UltrasoundMotionLib.lab.training.data.registration_pairs import TrainingSubject
    from UltrasoundMotionLib.lab.training.data.step_batches import StepBatches
    from UltrasoundMotionLib.lab.training.objective import Objective
    from UltrasoundMotionLib.registration.working_pair import WorkingPair

STEPS_PER_IMAGE = 3500
"""Steps of the first training for each training image or sequence (III-B)."""


def train_scale(
    folder: Path,
    scale: float,
    dimension: int,
    draw_pair: Callable[[np.random.Generator], WorkingPair],
    *,
    description: str,
    steps: int,
    seed: int,
    device: str,
    progress: Progress,
) -> Path:
    """Trains the network of one scale as VoxelMorph (Adam at 1e-3, one pair a step) and returns its card.

    Args:
        folder: of weights, log and state; a training that is there goes on, or is done.
        draw_pair: see `WorkingPairs`.
        description: of data and settings; a training of other ones is refused.
    """
    import torch

    from UltrasoundMotionLib.lab.training.objectives.ssmsr import ScaleObjective, WorkingPairs

    torch.manual_seed(seed)
    name = "voxelmorph" if scale == 1 else f"ssmsr-{scale:g}"
    objective = ScaleObjective(dimension, scale, SsmsrSettings(), name)
    batches = WorkingPairs(draw_pair, description, seed)
    return _trained(folder / name, objective, batches, steps=steps, seed=seed, device=device, progress=progress)


def train_neurreg(
    folder: Path,
    subjects: list[TrainingSubject],
    *,
    steps: int | None,
    seed: int,
    device: str,
    progress: Progress,
) -> Path:
    """Trains NeurReg on hippocampi and returns its card.

    Args:
        folder: see `train_scale`.
        steps: of training; None: the recipe's epochs.
    """
    from UltrasoundMotionLib.lab.training.data.registration_pairs import PairBatches
    from UltrasoundMotionLib.lab.training.recipes.neurreg import EPOCHS, NeurRegRecipe

    plan = NeurRegRecipe().make("hippocampus", seed=seed)
    return _trained(
        folder / "neurreg",
        plan.objective,
        PairBatches(subjects, plan.batch, seed),
        steps=EPOCHS * len(subjects) if steps is None else steps,
        seed=seed,
        device=device,
        progress=progress,
    )


def _trained(
    folder: Path,
    objective: Objective[Any, Any],
    batches: StepBatches[Any],
    *,
    steps: int,
    seed: int,
    device: str,
    progress: Progress,
) -> Path:
    from UltrasoundMotionLib.lab.training.settings import ConstantRateSettings
    from UltrasoundMotionLib.lab.training.trained_weights import draft_card

    settings = ConstantRateSettings(steps=steps, seed=seed, save_every=500, validate_every=0)
    card = draft_card(
        objective,
        trained_on=(batches.description,),
        command="ultrasound-motion benchmark",
        seed=seed,
        measured_with="the benchmark that trained it",
        licence="LicenseRef-training-data",
    )
    train_kept(folder, objective, batches, settings, card=card, device=device, progress=progress)
    return folder / f"{objective.name}.json"
