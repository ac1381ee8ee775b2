"""LSDM's trackers from trained weights."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.landmarks.lsdm_network import Lsdm, LsdmConfig
from UltrasoundMotionLib.weights import LoadedWeights, find_card, load_weights

if TYPE_CHECKING:
    from UltrasoundMotionLib.landmarks.lsdm_tracker import LsdmTracker, LsdmTrackerConfig

WEIGHTS = "lsdm"


def create_lsdm(device: str = "cpu", card_path: str | Path | None = None, config: LsdmTrackerConfig | None = None) -> LsdmTracker:
    """LSDM with its three answers fused.

    Args:
        card_path: of the weights; None takes the shipped ones.
        config: how they are used; None takes the default.

    Raises:
        InputError: see `load_lsdm`.
    """
    from UltrasoundMotionLib.landmarks.lsdm_tracker import LsdmTracker, LsdmTrackerConfig

    place = torch.device(device)
    return LsdmTracker(load_lsdm(card_path or find_card(WEIGHTS), place), config or LsdmTrackerConfig(), place)


def create_lsdm_published(device: str = "cpu", card_path: str | Path | None = None) -> LsdmTracker:
    """The response's peak alone; motion leads the exemplar, and nothing else."""
    from UltrasoundMotionLib.landmarks.lsdm_tracker import LsdmTrackerConfig

    return create_lsdm(device, card_path, LsdmTrackerConfig(fused=False))


def lsdm_of(weights: LoadedWeights) -> Lsdm:
    """The network of a card, with its weights.

    Raises:
        InputError: the card is another network's, or its configuration is.
    """
    card = weights.card
    if card.architecture != Lsdm.__name__:
        raise InputError(f"weights {card.name}: are of {card.architecture}, not {Lsdm.__name__}")
    try:
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in dict(card.configuration["network"]).items()}
        network = Lsdm(LsdmConfig(**values))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"weights {card.name}: the card's configuration is not {Lsdm.__name__}'s ({error})") from error
    weights.put_into(network)
    return network.eval()


def load_lsdm(card_path: str | Path, device: torch.device) -> Lsdm:
    """Reads and checks weights, and keeps the network for the next tracker of the same file and device.

    Raises:
        InputError: see `load_weights` and `lsdm_of`.
    """
    path = Path(card_path)
    times = tuple(file.stat().st_mtime_ns if file.is_file() else 0 for file in (path, path.with_suffix(".safetensors")))
    return _load_lsdm(path, str(device), times)


@lru_cache(maxsize=2)
def _load_lsdm(card_path: Path, device: str, times: tuple[int, int]) -> Lsdm:
    return lsdm_of(load_weights(card_path)).to(device)
