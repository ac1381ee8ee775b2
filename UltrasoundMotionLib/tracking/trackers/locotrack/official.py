"""Official checkpoints of LocoTrack: the names of their tensors, and the sizes that these tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.tracking.trackers.tapir.official import BACKBONE_NAMES, backbone_channels, count_layers
from UltrasoundMotionLib.weights.official_checkpoint import Converted, renamed

if TYPE_CHECKING:
    from torch import Tensor

_HEAD_CHANNELS = 64
_STRIDES = {2: (4, 2), 3: (2, 2, 2)}
"""Of the convolutions of the correlation encoders, by their number; no tensor tells them."""
_NAMES = {
    **BACKBONE_NAMES,
    r"cost_conv\.(\w+)": r"heatmap.\1",
    r"occ_linear\.(\w+)": r"visibility.\1",
    r"cmdtop\.(\d)\.conv\.(\d)\.0\.(\w+)": r"encoders.\1.convolutions.\2.\3",
    r"cmdtop\.(\d)\.conv\.(\d)\.1\.(\w+)": r"encoders.\1.norms.\2.\3",
    r"torch_pips_mixer\.input_proj\.(\w+)": r"transformer.input.\1",
    r"torch_pips_mixer\.output_proj\.(\w+)": r"transformer.output.\1",
    r"torch_pips_mixer\.transformer\.ln_out\.(\w+)": r"transformer.norm.\1",
    r"torch_pips_mixer\.transformer\.layers\.(\d+)\.attn\.query_proj\.(\w+)": r"transformer.layers.\1.query.\2",
    r"torch_pips_mixer\.transformer\.layers\.(\d+)\.attn\.key_proj\.(\w+)": r"transformer.layers.\1.key.\2",
    r"torch_pips_mixer\.transformer\.layers\.(\d+)\.attn\.value_proj\.(\w+)": r"transformer.layers.\1.value.\2",
    r"torch_pips_mixer\.transformer\.layers\.(\d+)\.attn\.final_proj\.(\w+)": r"transformer.layers.\1.merge.\2",
    r"torch_pips_mixer\.transformer\.layers\.(\d+)\.dense\.0\.(\w+)": r"transformer.layers.\1.widen.\2",
    r"torch_pips_mixer\.transformer\.layers\.(\d+)\.dense\.2\.(\w+)": r"transformer.layers.\1.narrow.\2",
    r"torch_pips_mixer\.transformer\.layers\.(\d+)\.layer_norm1\.(\w+)": r"transformer.layers.\1.attention_norm.\2",
    r"torch_pips_mixer\.transformer\.layers\.(\d+)\.layer_norm2\.(\w+)": r"transformer.layers.\1.channel_norm.\2",
}


def convert_locotrack(tensors: Mapping[str, Tensor], *, encoder_layers: int) -> Converted:
    """Returns our tensors and the configuration.

    Args:
        encoder_layers: convolutions of each correlation encoder: 2 in LocoTrack-S, 3 in LocoTrack-B.

    Raises:
        InputError: of the other size; a tensor that is not known.
    """
    ours = renamed(tensors, _NAMES)
    layers = count_layers(ours, "encoders.0.convolutions")
    if layers != encoder_layers:
        raise InputError(
            f"its correlation encoders have {layers} convolutions: import it --as "
            f"{'locotrack-small' if layers == 2 else 'locotrack-base'}"
        )
    convolutions = [ours[f"encoders.0.convolutions.{layer}.weight"] for layer in range(layers)]
    width = len(ours["transformer.input.weight"])
    return ours, {
        "channels": backbone_channels(ours),
        "encoder_channels": [len(weight) for weight in convolutions],
        "encoder_kernels": [weight.shape[-1] for weight in convolutions],
        "encoder_strides": list(_STRIDES[layers]),
        "transformer_channels": width,
        "heads": width // _HEAD_CHANNELS,
        "layers": count_layers(ours, "transformer.layers"),
    }
