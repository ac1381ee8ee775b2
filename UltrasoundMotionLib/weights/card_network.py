"""A network built from what its card says, with the weights beside it, kept for whoever asks next."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.weights.model_file import file_times, load_weights

if TYPE_CHECKING:
    import torch
    from torch import nn

Build = Callable[[dict[str, Any]], "nn.Module"]


def load_card_network(card_path: str | Path, device: torch.device, architecture: str, build: Build) -> nn.Module:
    """The network of a card, ready to be used; the same object for the same files, device and way to build it.

    Args:
        architecture: what the card must say it is.
        build: makes the network of the card's configuration, in which lists have become tuples.

    Raises:
        InputError: see `load_weights`; the card is another network's, or its configuration is.
    """
    path = Path(card_path)
    times = file_times(path)
    return _load(path, str(device), times, architecture, build)


@lru_cache(maxsize=4)
def _load(path: Path, device: str, times: tuple[int, int], architecture: str, build: Build) -> nn.Module:
    weights = load_weights(path)
    if weights.card.architecture != architecture:
        raise InputError(f"weights {weights.card.name}: are of {weights.card.architecture}, not {architecture}")
    try:
        network = build(_with_tuples(weights.card.configuration))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"weights {weights.card.name}: the card's configuration is not {architecture}'s ({error})"
        ) from error
    weights.put_into(network)
    return network.eval().to(device)


def _with_tuples(value: Any) -> Any:
    """What JSON holds, its lists as tuples."""
    if isinstance(value, dict):
        return {name: _with_tuples(one) for name, one in value.items()}
    return tuple(value) if isinstance(value, list) else value
