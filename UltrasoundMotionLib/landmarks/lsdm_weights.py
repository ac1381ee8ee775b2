"""LSDM's trackers from trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from UltrasoundMotionLib.landmarks.lsdm_network import Lsdm, LsdmConfig
from UltrasoundMotionLib.weights import find_card
from UltrasoundMotionLib.weights.card_network import load_card_network

if TYPE_CHECKING:
    from UltrasoundMotionLib.landmarks.lsdm_tracker import LsdmTracker, LsdmTrackerConfig

WEIGHTS = "lsdm"


def create_lsdm(device: str = "cpu", card_path: str | Path | None = None, config: LsdmTrackerConfig | None = None) -> LsdmTracker:
    """LSDM with its three answers fused.

    Args:
        card_path: of the weights; None takes the shipped ones.
        config: how they are used; None takes the default.

    Raises:
        InputError: see `load_card_network`.
    """
    from UltrasoundMotionLib.landmarks.lsdm_tracker import LsdmTracker, LsdmTrackerConfig

    place = torch.device(device)
    network = load_card_network(card_path or find_card(WEIGHTS), place, Lsdm.__name__, lsdm_network)
    return LsdmTracker(network, config or LsdmTrackerConfig(), place)


def create_lsdm_published(device: str = "cpu", card_path: str | Path | None = None) -> LsdmTracker:
    """The response's peak alone; motion leads the exemplar, and nothing else."""
    from UltrasoundMotionLib.landmarks.lsdm_tracker import LsdmTrackerConfig

    return create_lsdm(device, card_path, LsdmTrackerConfig(fused=False))


def lsdm_network(configuration: dict[str, Any]) -> Lsdm:
    """The network of a card's configuration."""
    return Lsdm(LsdmConfig(**configuration["network"]))
