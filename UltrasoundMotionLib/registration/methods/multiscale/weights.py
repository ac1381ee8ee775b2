"""Files of networks trained over a set of pairs.

They are those that SSMSR's test-time training starts from ("we also firstly update the weights on the training set the
same as VoxelMorph"): those of its coarsest scale, or of every scale, as `optimise_scales` gives them over many pairs.
With one scale it is VoxelMorph.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.weights import load_weights

Weights = dict[str, Tensor]


def write_weights(path: str | Path, weights: Sequence[Weights]) -> None:
    """Writes the weights of all scales, coarse to fine, into one safetensors file.

    Raises:
        OutputError: it cannot be written.
    """
    with atomic_output(path) as temporary:
        save_file(
            {f"{index}/{name}": value.contiguous() for index, one in enumerate(weights) for name, value in one.items()},
            temporary,
        )


def read_weights(path: str | Path, network: nn.Module, scales: int) -> list[Weights]:
    """Reads the weights of the first scale, or of each, and checks them against the network that is to take them.

    Args:
        path: a file written by `write_weights`; or the card (NAME.json) of a VoxelMorph that predicts displacements of
            images in [0, 1], for one scale.
        scales: the number of scales that are to be registered.

    Returns:
        One entry, or one of each scale, coarse to fine.

    Raises:
        InputError: no such file, another kind of file, another network or number of scales.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights")
    if path.suffix == ".json":
        values = _of_card(path)
    else:
        try:
            values = load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path}: no safetensors file ({str(error).splitlines()[0]})") from error
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    held = len({name.partition("/")[0] for name in values})
    if held not in (1, scales) or {name: tuple(value.shape) for name, value in values.items()} != {
        f"{i}/{name}": shape for i in range(held) for name, shape in wanted.items()
    }:
        raise InputError(
            f"{path}: holds the weights of another network than that of the settings, or of another number of scales"
            f" than {scales}"
        )
    return [{name: values[f"{index}/{name}"] for name in wanted} for index in range(held)]


def _of_card(path: Path) -> Weights:
    """The weights of a trained VoxelMorph under the names of the first scale."""
    weights = load_weights(path)
    settings = weights.card.configuration.get("network")
    if weights.card.architecture != "VoxelMorph" or not isinstance(settings, dict):
        raise InputError(f"{path}: is the card of {weights.card.architecture}, not of VoxelMorph")
    if settings.get("output") != "displacement" or settings.get("normalised"):
        raise InputError(
            f"{path}: this VoxelMorph gives no displacement of images in [0, 1], which the multi-scale method's"
            " networks do"
        )
    return {name.replace("unet.", "0/", 1): value.float() for name, value in weights.tensors.items()}
