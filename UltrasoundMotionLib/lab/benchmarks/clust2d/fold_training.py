"""Trackers' networks trained on the sequences of a fold, by the training command itself, which resumes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.evaluation.clust_set import ClustSequence
from UltrasoundMotionLib.tracking.registry import TrackerEntry

STATE = "state.pt"


def trains_on_clust(entry: TrackerEntry) -> bool:
    """Tells whether a tracker's network can learn from folders in CLUST's layout."""
    from UltrasoundMotionLib.lab.training.landmark_recipe import LandmarkRecipe
    from UltrasoundMotionLib.lab.training.recipe import RECIPES

    return any(recipe.name == entry.weights and isinstance(recipe, LandmarkRecipe) for recipe in RECIPES.all())


def train_on(
    entry: TrackerEntry,
    sequences: Sequence[ClustSequence],
    folder: Path,
    *,
    steps: int,
    seed: int,
    phantoms: int = 0,
    clips: Path | None = None,
    on_line: Callable[[str], None] = lambda line: None,
) -> Path:
    """Trains the network of a tracker on sequences, or goes on where an earlier call was interrupted.

    Args:
        phantoms: simulated clips to learn from as well.
        clips: folder that keeps them.
        on_line: called with what the training reports.

    Returns:
        The weights.

    Raises:
        InputError: the training failed; the message ends with its last line.
    """
    recipe = str(entry.weights)
    weights = folder / f"{recipe}.safetensors"
    command = [sys.executable, "-m", "UltrasoundMotionLib", "train", recipe, "--out", str(folder)]
    command += ["--steps", str(steps), "--seed", str(seed), "--phantoms", str(phantoms), "--validate-every", "0"]
    command += ["--clust", *(str(one.folder) for one in sequences)]
    command += ["--clips", str(clips)] if clips is not None else []
    command += ["--resume"] if (folder / STATE).is_file() else []
    said = "no message"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stderr is not None
            for line in child.stderr:
                said = line.strip() or said
                on_line(said)
        except BaseException:
            child.terminate()  # which leaves the state of the last step
            raise
    if child.returncode != 0 or not weights.is_file():
        raise InputError(f"the training of {recipe} in {folder} ended with exit code {child.returncode}: {said}")
    return weights
