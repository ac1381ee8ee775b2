"""Reader of the authors' 2D U-Net (models/unet.pth in their repository multimodallearning/semantically-guided)."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.registration.methods.semantic.feature_unet import OFFICIAL_2D, FeatureUNet, FeatureUNetConfig

_LAYERS = {
    "0": "at_full",
    "1": "at_half.0",
    "11": "at_half.1",
    "2": "at_quarter.0",
    "22": "at_quarter.1",
    "3": "at_eighth.0",
    "33": "at_eighth.1",
    "6bU": "up_quarter",
    "6U": "up_half",
}
"""Our layer for each ending of their `conv` and `batch`."""
_SCORES = "conv7U"
_STAND_INS = {
    ("src.nets", "UNet2D"),
    ("torch.nn.modules.conv", "Conv2d"),
    ("torch.nn.modules.batchnorm", "BatchNorm2d"),
}
_HARMLESS = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("__builtin__", "set"),
}
_STORAGES = {("torch", "FloatStorage"), ("torch", "LongStorage")}


class _PickledModule:
    """Stand-in for every class of a pickled network: it only holds attributes, and none of the network's code runs."""

    dump_patches = False  # PyTorch reads it from every such class


class _RestrictedUnpickler(pickle.Unpickler):
    """Unpickler of tensors, ordered dictionaries and stand-ins; every other class is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """The class of that name.

        Raises:
            UnpicklingError: it is none of those known.
        """
        if (module, name) in _STAND_INS:
            return _PickledModule
        if (module, name) in _HARMLESS | _STORAGES:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}")


class _RestrictedPickle:
    """The pickle module for `torch.load`."""

    Unpickler = _RestrictedUnpickler

    @staticmethod
    def load(file: BinaryIO, **settings: Any) -> Any:
        """Loads a file as `pickle.load` does."""
        return _RestrictedUnpickler(file, **settings).load()


def load_official_unet(path: str | Path) -> FeatureUNet:
    """Reads the authors' network as `FeatureUNet`, in eval mode.

    It has ten convolutions and eight classes (background and seven parts of a face). The published file is a whole
    pickled network, which `torch.load(weights_only=True)` refuses; it is read by an unpickler that knows tensors and
    dictionaries only, and only its tensors are taken. A state dict in their layout, saved by any version of torch,
    is read with `weights_only=True`. Their registration networks are not in the public repository.

    Args:
        path: of unet.pth.

    Raises:
        InputError: no such file, or not a network of that kind.
    """
    try:
        content = _read(path)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: no readable weights of the authors' U-Net ({str(error).splitlines()[0]})") from error
    return _official_unet(content, str(path))


def _read(path: str | Path) -> Any:
    if zipfile.is_zipfile(path):
        return torch.load(path, map_location="cpu", weights_only=True)
    with warnings.catch_warnings():  # PyTorch warns that the class differs from the pickled one
        warnings.simplefilter("ignore")
        content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=_RestrictedPickle)
    return _tensors_of(content) if isinstance(content, _PickledModule) else content


def _official_unet(tensors: Mapping[str, Tensor], name: str = "weights") -> FeatureUNet:
    """Builds the network of a state dict in the authors' layout.

    Raises:
        InputError: tensors that are missing, or of shapes that do not fit each other.
    """
    if not isinstance(tensors, Mapping):
        raise InputError(f"{name}: expected a network or its tensors by name, got {type(tensors).__name__}")
    mapped = {}
    for theirs, value in tensors.items():
        kind, _, entry = theirs.partition(".")
        if kind == _SCORES:
            mapped[f"scores.{entry}"] = value
        elif (ours := _LAYERS.get(kind.removeprefix("conv"))) is not None:
            mapped[f"{ours}.convolution.{entry}"] = value
        elif (ours := _LAYERS.get(kind.removeprefix("batch"))) is not None:
            mapped[f"{ours}.norm.{entry}"] = value
    try:
        layers = ("at_full", "at_half.0", "at_quarter.0", "at_eighth.0", "up_quarter", "up_half")
        full, half, quarter, eighth, *up = (len(mapped[f"{layer}.convolution.bias"]) for layer in layers)
        channels = full, half, quarter, eighth
        config = FeatureUNetConfig(2, len(mapped["scores.bias"]), channels, OFFICIAL_2D.deepest, (up[0], up[1]))
        network = FeatureUNet(config)
        for key, value in network.state_dict().items():  # files of old versions of torch do not count batches
            if key.endswith("num_batches_tracked"):
                mapped.setdefault(key, value)
        network.load_state_dict(mapped)
    except (KeyError, RuntimeError, TypeError) as error:
        raise InputError(f"{name}: not the tensors of the authors' U-Net ({str(error).splitlines()[0]})") from error
    return network.eval()


def _tensors_of(module: _PickledModule, prefix: str = "") -> dict[str, Tensor]:
    """Parameters and buffers of an unpickled network, by the names of its state dict."""
    held: dict[str, Any] = vars(module)
    found: dict[str, Tensor] = {}
    for group in ("_parameters", "_buffers"):
        found |= {
            prefix + name: value.detach() for name, value in held.get(group, {}).items() if isinstance(value, Tensor)
        }
    for name, child in held.get("_modules", {}).items():
        if isinstance(child, _PickledModule):
            found |= _tensors_of(child, f"{prefix}{name}.")
    return found
