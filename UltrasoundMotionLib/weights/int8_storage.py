"""Weights kept as int8 in files: each output channel of a convolution or a linear layer has one scale.

An entry `NAME` of int8 (C, ...) with its entry `NAME:scale` of float32 (C,) stands for the float32 tensor

    weight[c] = scale[c] * NAME[c],   scale[c] = max |weight[c]| / 127,

so that no weight changes by more than half a scale (Krishnamoorthi, arXiv:1806.08342, Sec. 2.2 and 2.4: symmetric,
per channel). Networks compute in float32 as before; only the file is smaller. Vectors, such as biases and
normalisation, stay float32.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

STORES = ("float32", "int8")
"""Forms of weights in files."""
_SCALE = ":scale"
_LARGEST = 127
_SMALLEST_SIZE = 512
"""Tensors of fewer values stay as they are: they take no room."""


def to_int8(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns the entries of a file in which weights of two axes or more are int8, the others as they are.

    A tensor with a value that is not a finite number stays as it is.
    """
    import torch

    entries: dict[str, Tensor] = {}
    for name, value in tensors.items():
        values = value.detach().float().cpu()
        if not (value.is_floating_point() and value.ndim >= 2 and value.numel() >= _SMALLEST_SIZE):
            entries[name] = value
            continue
        if not torch.isfinite(values).all():
            entries[name] = value
            continue
        scales = values.flatten(1).abs().amax(dim=1) / _LARGEST
        divisors = torch.where(scales > 0, scales, 1.0).reshape(-1, *(1,) * (value.ndim - 1))
        entries[name] = (values / divisors).round().clamp(-_LARGEST, _LARGEST).to(torch.int8)
        entries[name + _SCALE] = scales
    return entries


def from_int8(entries: Mapping[str, Tensor], source: object) -> dict[str, Tensor]:
    """Returns the tensors of a file by name: int8 entries that have scales as float32, the others as they are.

    Args:
        source: the file, for messages.

    Raises:
        InputError: scales without an int8 tensor of as many channels, or that are not finite numbers from 0 on.
    """
    import torch

    scales = {name.removesuffix(_SCALE): value for name, value in entries.items() if name.endswith(_SCALE)}
    tensors = {name: value for name, value in entries.items() if not name.endswith(_SCALE)}
    for name, scale in scales.items():
        value = tensors.get(name)
        if value is None or value.dtype != torch.int8 or value.ndim < 2 or scale.shape != value.shape[:1]:
            held = "missing" if value is None else f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
            raise InputError(f"{source}: scales {tuple(scale.shape)} of {name} do not fit its int8 values ({held})")
        if not (scale.is_floating_point() and torch.isfinite(scale).all() and (scale >= 0).all()):
            raise InputError(f"{source}: scales of {name} must be finite numbers from 0 on")
        tensors[name] = value.float() * scale.float().reshape(-1, *(1,) * (value.ndim - 1))
    return tensors
