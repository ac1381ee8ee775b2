"""Official checkpoints of TAPIR and BootsTAPIR: the names of their tensors, and the sizes that these tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.weights.official_checkpoint import Converted, renamed

if TYPE_CHECKING:
    from torch import Tensor

_NEIGHBOURS = 49  # cells of a neighbourhood, 7 x 7
_MOTION = 4  # values of a state beside the features: position (2), occlusion, distance
_CAUSAL_RATIO = 2.0

BACKBONE_NAMES = {
    r"resnet_torch\.initial_conv\.weight": "backbone.stem.weight",
    r"resnet_torch\.block_groups\.(\d)\.blocks\.(\d)\.proj_conv\.weight": r"backbone.groups.\1.\2.shortcut.weight",
    r"resnet_torch\.block_groups\.(\d)\.blocks\.(\d)\.bn_0\.(\w+)": r"backbone.groups.\1.\2.norm1.\3",
    r"resnet_torch\.block_groups\.(\d)\.blocks\.(\d)\.bn_1\.(\w+)": r"backbone.groups.\1.\2.norm2.\3",
    r"resnet_torch\.block_groups\.(\d)\.blocks\.(\d)\.conv_0\.weight": r"backbone.groups.\1.\2.convolution1.weight",
    r"resnet_torch\.block_groups\.(\d)\.blocks\.(\d)\.conv_1\.weight": r"backbone.groups.\1.\2.convolution2.weight",
}
"""From the names of the official backbone, which LocoTrack shares, to ours."""
_NAMES = {
    **BACKBONE_NAMES,
    r"extra_convs\.blocks\.(\d+)\.layer_norm\.(\w+)": r"coarse_blocks.\1.norm.\2",
    r"extra_convs\.blocks\.(\d+)\.conv\.(\w+)": r"coarse_blocks.\1.widen.\2",
    r"extra_convs\.blocks\.(\d+)\.conv_1\.(\w+)": r"coarse_blocks.\1.narrow.\2",
    r"torch_cost_volume_track_mods\.hid1\.(\w+)": r"initial_match.volume.\1",
    r"torch_cost_volume_track_mods\.hid2\.(\w+)": r"initial_match.heatmap.\1",
    r"torch_cost_volume_track_mods\.hid3\.(\w+)": r"initial_match.visibility.\1",
    r"torch_cost_volume_track_mods\.hid4\.(\w+)": r"initial_match.visibility_hidden.\1",
    r"torch_cost_volume_track_mods\.occ_out\.(\w+)": r"initial_match.visibility_output.\1",
    r"torch_pips_mixer\.linear\.(\w+)": r"mixer.input.\1",
    r"torch_pips_mixer\.linear_1\.(\w+)": r"mixer.output.\1",
    r"torch_pips_mixer\.layer_norm\.weight": "mixer.norm.weight",
    r"torch_pips_mixer\.blocks\.(\d+)\.layer_norm\.weight": r"mixer.blocks.\1.time_norm.weight",
    r"torch_pips_mixer\.blocks\.(\d+)\.mlp1_up\.(\w+)": r"mixer.blocks.\1.time_widen.\2",
    r"torch_pips_mixer\.blocks\.(\d+)\.mlp1_up_1\.(\w+)": r"mixer.blocks.\1.time_narrow.\2",
    r"torch_pips_mixer\.blocks\.(\d+)\.layer_norm_1\.weight": r"mixer.blocks.\1.channel_norm.weight",
    r"torch_pips_mixer\.blocks\.(\d+)\.conv_channels_mixer\.mlp2_up\.(\w+)": r"mixer.blocks.\1.channel_widen.\2",
    r"torch_pips_mixer\.blocks\.(\d+)\.conv_channels_mixer\.mlp2_down\.(\w+)": r"mixer.blocks.\1.channel_narrow.\2",
}


def convert_tapir(tensors: Mapping[str, Tensor], *, extra_convolutions: bool) -> Converted:
    """Returns our tensors and the configuration.

    Args:
        extra_convolutions: the tensors are to be BootsTAPIR's, not TAPIR's.

    Raises:
        InputError: of the other network, or of the online (causal) one; a tensor that is not known.
    """
    ours = renamed(tensors, _NAMES)
    extra = count_layers(ours, "coarse_blocks")
    if bool(extra) != extra_convolutions:
        raise InputError(
            "it has the further convolutions of BootsTAPIR: import it --as bootstapir"
            if extra
            else "it lacks the further convolutions of BootsTAPIR: import it --as tapir"
        )
    blocks = count_layers(ours, "mixer.blocks")
    _check_sees_ahead(ours, blocks)
    channels = backbone_channels(ours)
    width, inputs = ours["mixer.input.weight"].shape
    levels, left = divmod(inputs - _MOTION - channels[1] - channels[3], _NEIGHBOURS)
    if left or levels < 2:
        raise InputError(f"its mixer takes {inputs} values, which no number of levels gives")
    return ours, {
        "channels": channels,
        "extra_convolutions": extra,
        "pyramid_levels": levels - 2,
        "mixer_blocks": blocks,
        "mixer_channels": width,
    }


def backbone_channels(tensors: Mapping[str, Tensor]) -> list[int]:
    """Returns the channels of the four groups of a backbone."""
    return [len(tensors[f"backbone.groups.{group}.0.convolution2.weight"]) for group in range(4)]


def count_layers(names: Iterable[str], prefix: str) -> int:
    """Returns the number of layers whose tensors are named `prefix.NUMBER...`."""
    numbers = [int(match[1]) for name in names if (match := re.match(rf"{re.escape(prefix)}\.(\d+)\.", name))]
    return max(numbers, default=-1) + 1


def _check_sees_ahead(tensors: Mapping[str, Tensor], blocks: int) -> None:
    """Checks that the filters over time look ahead as much as back.

    The online networks have tensors of the same names and shapes, but their filters end with the present frame: the
    last of three taps is the present and weighs most, the first is two frames before.

    Raises:
        InputError: they look back.
    """
    energies = [
        tensors[f"mixer.blocks.{block}.time_widen.weight"].double().square().sum((0, 1)).tolist()
        for block in range(blocks)
    ]
    first, middle, last = (sum(values) for values in zip(*energies, strict=True))
    if last > middle and last > _CAUSAL_RATIO * first:
        raise InputError(
            "its filters over time look back only, as those of the online (causal) networks do; take the checkpoint of"
            " the network that sees whole clips"
        )
