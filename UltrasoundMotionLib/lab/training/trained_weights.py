"""Trained weights as files: those to start from, and those that a training writes with the draft of their card."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.lab.training.objective import Objective
from UltrasoundMotionLib.weights import ModelCard, load_weights, save_weights
from UltrasoundMotionLib.weights.int8_storage import from_int8


def read_weights(path: Path | str) -> dict[str, Tensor]:
    """Reads weights to start from: a safetensors file, or a card (.json) with its checked weights beside it.

    Raises:
        InputError: there are none.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if Path(path).suffix == ".json":
        return load_weights(path).tensors
    try:
        entries = load_file(path)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: holds no weights ({str(error).splitlines()[0]})") from error
    return from_int8(entries, path)


def file_digest(path: Path | str) -> str:
    """Returns the first 16 hexadecimal digits of a file's SHA-256.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def draft_card(
    objective: Objective[Any, Any],
    *,
    trained_on: tuple[str, ...],
    command: str,
    seed: int,
    measured_with: str,
    licence: str = "Apache-2.0",
) -> ModelCard:
    """Returns a card without figures and checksum; the parameters are those of `ModelCard`."""
    return ModelCard(
        name=objective.name,
        architecture=objective.architecture,
        configuration=objective.configuration(),
        task=objective.task,
        trained_on=trained_on,
        command=command,
        seed=seed,
        commit=current_commit(),
        measured={},
        measured_with=measured_with,
        limits=objective.limits,
        licence=licence,
    )


def save_trained(
    folder: Path | str,
    objective: Objective[Any, Any],
    card: ModelCard,
    validation: Mapping[str, float],
    *,
    store: str = "float32",
) -> ModelCard:
    """Writes `folder/NAME.safetensors` and its card `folder/NAME.json`, and returns the card.

    Args:
        card: see `draft_card`.
        validation: figures for the card's `measured`, to which a benchmark adds held-out ones.
        store: form of the weights in the file, see `save_weights`.

    Raises:
        OutputError: they cannot be written.
    """
    measured = {f"validation_{name}": value for name, value in validation.items()}
    return save_weights(folder, objective.weights(), replace(card, measured=measured), store=store)


def current_commit() -> str:
    """Returns the abbreviated commit of the checkout that runs; empty outside of one."""
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
