"""Trained networks: one loader and one cache from a card to the network that it describes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.weights.model_card import ModelCard, read_card
from UltrasoundMotionLib.weights.model_file import file_times, load_weights
from UltrasoundMotionLib.weights.model_folder import find_card
from UltrasoundMotionLib.weights.official_checkpoint import OfficialCheckpoint

if TYPE_CHECKING:
    import torch
    from torch import nn

NETWORKS_KEPT = 8


@dataclass(frozen=True)
class NetworkKind:
    """A kind of network that cards name as their architecture.

    Attributes:
        architecture: its name on cards.
        build: makes the network from a card's configuration, with weights still to be loaded; imports PyTorch itself.
        official: the checkpoints that its authors publish; None where they publish none that can be read.
    """

    architecture: str
    build: Callable[[Mapping[str, Any]], nn.Module]
    official: OfficialCheckpoint | None = None


@dataclass(frozen=True, eq=False)
class TrainedNetwork:
    """A network with its weights, in eval mode on its device, and its card."""

    network: Any
    card: ModelCard


def load_network(
    weights: str | Path, kinds: NetworkKind | tuple[NetworkKind, ...], device: torch.device | str = "cpu"
) -> TrainedNetwork:
    """Loads a network; the same object for the same files, device and kind.

    Args:
        weights: the name of installed weights, or the path of a card or of a safetensors file beside its card.
        kinds: the kinds of network that will do.

    Raises:
        InputError: see `find_card` and `load_weights`; a network of another kind, or a configuration that is not one
            of that kind.
    """
    path = find_card(weights)
    kinds = (kinds,) if isinstance(kinds, NetworkKind) else kinds
    return _load(path, file_times(path), kinds, str(device))


def kind_of_card(card: ModelCard, kinds: tuple[NetworkKind, ...]) -> NetworkKind:
    """The kind of network that a card describes.

    Raises:
        InputError: none of these.
    """
    for kind in kinds:
        if kind.architecture == card.architecture:
            return kind
    wanted = " or ".join(kind.architecture for kind in kinds)
    raise InputError(f"weights {card.name}: are of {card.architecture}, not {wanted}")


@lru_cache(maxsize=NETWORKS_KEPT)
def _load(path: Path, times: tuple[int, int], kinds: tuple[NetworkKind, ...], device: str) -> TrainedNetwork:
    kind = kind_of_card(read_card(path), kinds)
    weights = load_weights(path)
    try:
        network = kind.build(weights.card.configuration)
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        raise InputError(
            f"weights {weights.card.name}: the card's configuration is not {kind.architecture}'s ({error})"
        ) from error
    weights.put_into(network)
    return TrainedNetwork(network.eval().to(device), weights.card)
