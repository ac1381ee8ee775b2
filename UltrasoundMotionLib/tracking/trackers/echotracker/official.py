"""Conversion of EchoTracker's published checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from UltrasoundMotionLib.tracking.network_blocks.residual_encoder import convert_encoder_names
from UltrasoundMotionLib.tracking.network_blocks.temporal_convolution import convert_convolution_names
from UltrasoundMotionLib.weights.official_checkpoint import Converted, renamed

_CHANGES = 3000
"""Channels of the changes between frames, which the official network repeats for every point."""
_BLOCKS = {"delta_block_spatial": "global_search", "delta_block_temporal": "refinement"}
_RULES = {
    **convert_encoder_names("fnet", "coarse_encoder"),
    **convert_encoder_names("fnet_fine", "fine_encoder"),
    **{
        rule: name for theirs, ours in _BLOCKS.items() for rule, name in convert_convolution_names(theirs, ours).items()
    },
    r"linear\.(weight|bias)": r"reduce.\1",
}


def convert_echotracker(tensors: Mapping[str, Tensor]) -> Converted:
    """Returns the tensors of an official checkpoint by our names, and the configuration.

    The first temporal convolution's weights for what all points share become a convolution of its own.
    """
    found = renamed(tensors, _RULES)
    for block, before in (("global_search", 196), ("refinement", 392)):
        weight = found.pop(f"{block}.stem.weight")
        correlations, changes, motion = weight.split([before, _CHANGES, weight.shape[1] - before - _CHANGES], dim=1)
        found[f"{block}.stem.weight"] = torch.cat([correlations, motion], dim=1)
        found[f"{block}.shared_stem.weight"] = changes.contiguous()
    return found, {}
