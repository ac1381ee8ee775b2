"""Sizes of the parts of a clip that pass a network at once: what a processor's cache holds, what keeps a GPU busy."""

from __future__ import annotations

import torch

_CACHE_BYTES = 4 << 20
_GPU_BYTES = 256 << 20
_GPU_FRAMES = 16


def bytes_at_once(device: torch.device) -> int:
    """Returns the size of intermediate values that are computed together."""
    return _CACHE_BYTES if device.type == "cpu" else _GPU_BYTES


def frames_at_once(device: torch.device) -> int:
    """Returns how many frames pass a backbone together."""
    return 1 if device.type == "cpu" else _GPU_FRAMES


def points_at_once(frame_count: int, bytes_of_frame: int, device: torch.device) -> int:
    """Returns how many points are refined together, each with so many bytes on each frame."""
    return max(1, bytes_at_once(device) // (bytes_of_frame * frame_count))
