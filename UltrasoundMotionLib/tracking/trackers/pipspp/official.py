"""Conversion of the published checkpoints of PIPs++."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from UltrasoundMotionLib.tracking.network_blocks.residual_encoder import convert_encoder_names
from UltrasoundMotionLib.tracking.network_blocks.temporal_convolution import convert_convolution_names
from UltrasoundMotionLib.weights.official_checkpoint import Converted, renamed

_RULES = convert_encoder_names("fnet", "encoder") | convert_convolution_names("delta_block", "refinement")
_UNUSED = (r"norm\.(weight|bias)",)
"""A normalisation that the official network holds and never calls."""


def convert_pipspp(tensors: Mapping[str, Tensor]) -> Converted:
    """Returns the tensors of an official checkpoint by our names, and the configuration."""
    return renamed(tensors, _RULES, unused=_UNUSED), {}
