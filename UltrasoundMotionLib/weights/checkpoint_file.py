"""Files of tensors by name, read without running code: safetensors, `torch.save` and NumPy's .npz."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.input_files import check_regular_file
from UltrasoundMotionLib.weights.int8_storage import from_int8

if TYPE_CHECKING:
    from torch import Tensor

_NESTED = ("state_dict", "model", "model_state_dict", "network")
"""Names under which training scripts keep the network beside optimiser states."""
_LIGHTNING_PREFIX = "model."
"""Beginning of all names where a Lightning module held the network as `model`."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Reads the tensors of a checkpoint by name; optimiser states and the prefixes of training scripts are dropped,
    and weights kept as int8 become float32.

    Raises:
        InputError: no such file, a truncated one, or no state dict in it; scales that do not fit their int8 values; a
            file that would run code is refused.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights")
    check_regular_file(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    import torch

    content = _read_numpy(path) if path.suffix in (".npy", ".npz") else _read_torch(path)
    for nested in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(nested), Mapping):
            content = content[nested]
            break
    if not isinstance(content, Mapping):
        raise InputError(f"{path}: expected a state dict, found {type(content).__name__}")
    tensors = {
        str(name).removeprefix("module."): value for name, value in content.items() if isinstance(value, torch.Tensor)
    }
    if all(name.startswith(_LIGHTNING_PREFIX) for name in tensors):
        tensors = {name.removeprefix(_LIGHTNING_PREFIX): value for name, value in tensors.items()}
    if not tensors:
        raise InputError(f"{path}: holds no tensors by name")
    return from_int8(tensors, path)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        entries = dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise InputError(f"{path}: no safetensors file ({str(error).splitlines()[0]})") from error
    return from_int8(entries, path)


def _read_numpy(path: Path) -> Any:
    """Returns the tensors of an .npz file by name; an .npy file has one array, or a pickle, which is not read."""
    import torch

    try:
        content = np.load(path, allow_pickle=False)
        if isinstance(content, np.ndarray):
            raise InputError(f"{path}: holds one array, expected tensors by name (.npz)")
        with content:
            arrays = {name: content[name] for name in content.files}
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise InputError(f"{path}: no readable NumPy file ({str(error).splitlines()[0]})") from error
        raise InputError(
            f"{path}: holds a pickle, which could run code and is not read; take the project's checkpoint for PyTorch"
            " (.pt, .pth) or its tensors as .npz or .safetensors"
        ) from error
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: damaged or truncated ({str(error).splitlines()[0]})") from error
    return {
        name: torch.from_numpy(np.ascontiguousarray(array))
        for name, array in arrays.items()
        if array.dtype.kind in "biuf"
    }


def _read_torch(path: Path) -> Any:
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0][:120]
        raise InputError(
            f"{path}: no checkpoint of tensors alone, and nothing else is read, since it could run code ({reason})"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: no checkpoint of torch.save, or one that is damaged or truncated ({reason})"
        ) from error
