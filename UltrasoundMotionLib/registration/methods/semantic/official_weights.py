"""Reads the authors' published 2D U-Net (repository multimodallearning/semantically-guided, models/unet.pth) into ours."""

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

LAYERS = {
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
"""Ending of their `conv` and `batch` -> our layer."""
SCORES = "conv7U"
STAND_INS = {("src.nets", "UNet2D"), ("torch.nn.modules.conv", "Conv2d"), ("torch.nn.modules.batchnorm", "BatchNorm2d")}
HARMLESS = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("__builtin__", "set"),
}
STORAGES = {("torch", "FloatStorage"), ("torch", "LongStorage")}


class PickledModule:
    """Stands in for every class of a network that was pickled whole: it only holds attributes, and none of the
    network's code runs.
    """

    dump_patches = False  # torch asks every such class


class RestrictedUnpickler(pickle.Unpickler):
    """Knows tensors, ordered dictionaries and stand-ins, and nothing else; what else a file names is refused."""

    def find_class(self, module: str, name: str) -> Any:
        """The class of that name.

        Raises:
            UnpicklingError: it is none of those known.
        """
        if (module, name) in STAND_INS:
            return PickledModule
        if (module, name) in HARMLESS | STORAGES:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it names {module}.{name}")


class RestrictedPickle:
    """What `torch.load` takes as its pickle module."""

    Unpickler = RestrictedUnpickler

    @staticmethod
    def load(file: BinaryIO, **settings: Any) -> Any:
        """As `pickle.load`."""
        return RestrictedUnpickler(file, **settings).load()


def load_official_unet(path: str | Path) -> FeatureUNet:
    """The authors' network as `FeatureUNet`, in eval mode: ten convolutions, eight classes (background and seven parts
    of a face).

    The published file is a whole pickled network, which `torch.load(weights_only=True)` refuses; it is read by
    `RestrictedUnpickler`, and only its tensors are taken. A state dict in their layout, saved by any version of torch,
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
    return official_unet(content, str(path))


def _read(path: str | Path) -> Any:
    if zipfile.is_zipfile(path):
        return torch.load(path, map_location="cpu", weights_only=True)
    with warnings.catch_warnings():  # that the source of their class is not that of the stand-in
        warnings.simplefilter("ignore")
        content = torch.load(path, map_location="cpu", weights_only=False, pickle_module=RestrictedPickle)
    return tensors_of(content) if isinstance(content, PickledModule) else content


def official_unet(tensors: Mapping[str, Tensor], name: str = "weights") -> FeatureUNet:
    """The network of a state dict in the authors' layout.

    Raises:
        InputError: tensors that are missing, or of shapes that do not fit each other.
    """
    if not isinstance(tensors, Mapping):
        raise InputError(f"{name}: expected a network or its tensors by name, got {type(tensors).__name__}")
    mapped = {}
    for theirs, value in tensors.items():
        kind, _, entry = theirs.partition(".")
        if kind == SCORES:
            mapped[f"scores.{entry}"] = value
        elif (ours := LAYERS.get(kind.removeprefix("conv"))) is not None:
            mapped[f"{ours}.convolution.{entry}"] = value
        elif (ours := LAYERS.get(kind.removeprefix("batch"))) is not None:
            mapped[f"{ours}.norm.{entry}"] = value
    try:
        sizes = [
            len(mapped[f"{layer}.convolution.bias"])
            for layer in ("at_full", "at_half.0", "at_quarter.0", "at_eighth.0")
        ]
        up = tuple(len(mapped[f"{layer}.convolution.bias"]) for layer in ("up_quarter", "up_half"))
        config = FeatureUNetConfig(2, len(mapped["scores.bias"]), tuple(sizes), OFFICIAL_2D.deepest, up)
        network = FeatureUNet(config)
        for key, value in network.state_dict().items():  # files of old versions of torch do not count batches
            if key.endswith("num_batches_tracked"):
                mapped.setdefault(key, value)
        network.load_state_dict(mapped)
    except (KeyError, RuntimeError, TypeError) as error:
        raise InputError(f"{name}: not the tensors of the authors' U-Net ({str(error).splitlines()[0]})") from error
    return network.eval()


def tensors_of(module: PickledModule, prefix: str = "") -> dict[str, Tensor]:
    """Parameters and buffers of a network read as `PickledModule`, by the names that its state dict would have."""
    held: dict[str, Any] = vars(module)
    found = {}
    for group in ("_parameters", "_buffers"):
        found |= {
            prefix + name: value.detach() for name, value in held.get(group, {}).items() if isinstance(value, Tensor)
        }
    for name, child in held.get("_modules", {}).items():
        if isinstance(child, PickledModule):
            found |= tensors_of(child, f"{prefix}{name}.")
    return found
