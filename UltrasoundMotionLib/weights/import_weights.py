"""Imports weights that were trained elsewhere: a checkpoint becomes a safetensors file with a card beside it."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.input_files import read_json_file
from UltrasoundMotionLib.weights.model_card import ModelCard
from UltrasoundMotionLib.weights.model_file import LoadedWeights, save_weights
from UltrasoundMotionLib.weights.network import NetworkKind

if TYPE_CHECKING:
    from torch import Tensor

UNKNOWN_LICENCE = "LicenseRef-unknown"
_NESTED = ("state_dict", "model", "model_state_dict", "network")
"""Names under which training scripts keep the network beside optimiser states."""


def import_weights(
    checkpoint: str | Path,
    kind: NetworkKind,
    folder: str | Path,
    *,
    name: str,
    configuration: Mapping[str, Any],
    task: str,
    licence: str = UNKNOWN_LICENCE,
    command: str = "",
) -> ModelCard:
    """Writes `folder/NAME.safetensors` and its card from a checkpoint, after loading it into the network.

    Args:
        checkpoint: .safetensors, or a file of `torch.save` with a state dict, which is read without running code.
        kind: of the network.
        configuration: of the network, as cards have it.
        task: one line on what it does, for the card.
        licence: SPDX identifier of the weights.
        command: that repeats the import, for the card.

    Raises:
        InputError: no such file, a file of another kind, or tensors of another network; the first that differs is
            named.
        OutputError: the files cannot be written.
    """
    path = Path(checkpoint)
    tensors = _read_tensors(path)
    card = ModelCard(
        name=name,
        architecture=kind.architecture,
        configuration=dict(configuration),
        task=task,
        trained_on=(f"not known: imported from {path.name}",),
        command=command,
        seed=0,
        commit="",
        measured={},
        measured_with="not measured",
        limits="Imported weights, not measured by this project. Not for clinical use.",
        licence=licence,
    )
    try:
        network = kind.build(configuration)
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        raise InputError(f"{path}: the configuration is not {kind.architecture}'s ({error})") from error
    LoadedWeights(tensors, card).put_into(network)
    Path(folder).mkdir(parents=True, exist_ok=True)
    return save_weights(folder, tensors, card)


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a checkpoint by name; optimiser states and prefixes of parallel training are dropped.

    Raises:
        InputError: no such file, or no state dict in it; a file that would run code is refused.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights")
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: no safetensors file ({str(error).splitlines()[0]})") from error
    import torch

    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(
            f"{path}: no checkpoint of tensors alone, and nothing else is read, since it could run code ({reason})"
        ) from error
    for nested in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(nested), Mapping):
            content = content[nested]
            break
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected a state dict, found {type(content).__name__}")
    tensors = {
        str(name).removeprefix("module."): value for name, value in content.items() if isinstance(value, torch.Tensor)
    }
    if not tensors:
        raise InputError(f"{path}: holds no tensors by name")
    return tensors


def read_configuration(path: str | Path) -> dict[str, Any]:
    """Reads a network's configuration: a JSON file, or the card of other weights.

    Raises:
        InputError: no such file, or no JSON object.
    """
    values = read_json_file(Path(path))
    if not isinstance(values, dict):
        raise InputError(f"{path}: a configuration is a JSON object, got {type(values).__name__}")
    inner = values.get("configuration") if "architecture" in values else values
    return dict(inner) if isinstance(inner, dict) else values
