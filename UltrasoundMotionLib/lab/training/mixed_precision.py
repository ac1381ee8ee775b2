"""bfloat16 in the networks of a training, where the machine has it: processors without it only imitate it, up to forty
times slower than float32.
"""

from __future__ import annotations

import torch


def mixed_precision(device_type: str, wanted: bool) -> torch.autocast:
    """The context in which a training's networks run.

    Args:
        device_type: "cpu", "cuda", ...
        wanted: by the training's configuration; float32 throughout otherwise, and where the device has no bfloat16.
    """
    return torch.autocast(device_type, torch.bfloat16, enabled=wanted and has_bfloat16(device_type))


def has_bfloat16(device_type: str) -> bool:
    """Whether the device computes in bfloat16."""
    if device_type == "cpu":
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return device_type != "cuda" or torch.cuda.is_bf16_supported()
