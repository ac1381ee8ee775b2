"""Conversion of CoTracker3's published checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.network_blocks.residual_encoder import convert_encoder_names
from UltrasoundMotionLib.tracking.trackers.cotracker3.network import time_table
from UltrasoundMotionLib.weights.official_checkpoint import Converted, renamed

_PARAMETER = r"(weight|bias)"
_BLOCKS = {
    "time_blocks": ("time_blocks", "attn"),
    "space_virtual2point_blocks": ("read_points", "cross_attn"),
    "space_virtual_blocks": ("virtual_blocks", "attn"),
    "space_point2virtual_blocks": ("read_virtual", "cross_attn"),
}
_LAYERS = {"to_q": "query", "to_kv": "key_value", "to_out": "output"}
_RULES = {
    **convert_encoder_names("fnet", "encoder"),
    rf"corr_mlp\.fc1\.{_PARAMETER}": r"correlation_hidden.\1",
    rf"corr_mlp\.fc2\.{_PARAMETER}": r"correlation_output.\1",
    rf"updateformer\.input_transform\.{_PARAMETER}": r"token_input.\1",
    rf"updateformer\.flow_head\.{_PARAMETER}": r"position_output.\1",
    rf"updateformer\.vis_conf_head\.{_PARAMETER}": r"visibility_output.\1",
    r"updateformer\.virual_tracks": "transformer.virtual_tracks",  # so spelled there
    **{
        rf"updateformer\.{theirs}\.(\d)\.{attention}\.{layer}\.{_PARAMETER}": rf"transformer.{ours}.\1.{name}.\2"
        for theirs, (ours, attention) in _BLOCKS.items()
        for layer, name in _LAYERS.items()
    },
    **{
        rf"updateformer\.{theirs}\.(\d)\.{layer}\.{_PARAMETER}": rf"transformer.{ours}.\1.{name}.\2"
        for theirs, (ours, _) in _BLOCKS.items()
        for layer, name in (("norm_context", "context_norm"), (r"mlp\.fc1", "hidden"), (r"mlp\.fc2", "project"))
    },
}
_WINDOWS = {"offline": 60, "online": 16}
_TRACKERS = {"offline": "cotracker3", "online": "cotracker3-online"}


def convert_cotracker3(tensors: Mapping[str, Tensor], version: str) -> Converted:
    """Returns the tensors of an official checkpoint by our names, and the configuration.

    The official network compares neighbourhoods column by column, ours row by row.

    Args:
        version: "offline" or "online"; the table of time embeddings tells them apart.

    Raises:
        InputError: CoTracker2, or the other version.
    """
    if "track_feat_updater.0.weight" in tensors:
        raise InputError("it is CoTracker2; expected scaled_" + version + ".pth of CoTracker3")
    table = tensors["time_emb"]
    window, channels = table.shape[1:]
    for other, frames in _WINDOWS.items():
        if other != version and frames == window:
            raise InputError(
                f"it is the {other} one, with windows of {frames} frames; import it --as {_TRACKERS[other]}"
            )
    if not torch.allclose(table[0].float(), time_table(window, channels), atol=1e-5):
        raise InputError("tensor time_emb holds other numbers than sines and cosines of the frame")
    found = renamed(tensors, _RULES, unused=(r"time_emb",))
    found["transformer.virtual_tracks"] = found["transformer.virtual_tracks"][0]
    weight = found["correlation_hidden.weight"]
    side = round(weight.shape[1] ** 0.25)
    found["correlation_hidden.weight"] = weight.unflatten(1, (side,) * 4).permute(0, 2, 1, 4, 3).flatten(1).contiguous()
    return found, _sizes(found, window)


def _sizes(found: Mapping[str, Tensor], window: int) -> dict[str, Any]:
    """Returns the configuration that the tensors' shapes tell."""
    return {
        "window_frames": window,
        "features": len(found["encoder.last.bias"]),
        "widths": [len(found[f"encoder.stages.{stage}.0.first.bias"]) for stage in range(4)],
        "correlation_hidden": len(found["correlation_hidden.bias"]),
        "correlation": len(found["correlation_output.bias"]),
        "channels": len(found["token_input.bias"]),
        "depth": len({name.split(".")[2] for name in found if name.startswith("transformer.time_blocks.")}),
        "virtual_tracks": len(found["transformer.virtual_tracks"]),
    }
