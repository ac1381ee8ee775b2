"""Mixed precision: bfloat16 in the networks of a training where the device computes in it.

Processors without bfloat16 only emulate it, up to forty times slower than float32.
"""

from __future__ import annotations

import torch

from UltrasoundMotionLib.device import has_bfloat16


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
