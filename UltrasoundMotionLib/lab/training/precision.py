"""Mixed precision: bfloat16 in the networks of a training where the device computes in it.

Processors without bfloat16 only emulate it, up to forty times slower than float32.
"""

from __future__ import annotations

import torch


def mixed_precision(device_type: str, wanted: bool) -> torch.autocast:
    """Returns the autocast context in which the losses of a training are computed.

    Args:
        device_type: "cpu", "cuda", ...
        wanted: the training's setting. float32 throughout where it is False or the device has no bfloat16.
    """
    return torch.autocast(device_type, torch.bfloat16, enabled=wanted and has_bfloat16(device_type))


def full_precision(device_type: str) -> torch.autocast:
    """Returns the context for the part of a loss that needs float32 inside `mixed_precision`."""
    return torch.autocast(device_type, enabled=False)


def has_bfloat16(device_type: str) -> bool:
    """Returns True where the device computes in bfloat16 without emulating it."""
    if device_type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return device_type != "cuda" or torch.cuda.is_bf16_supported()
