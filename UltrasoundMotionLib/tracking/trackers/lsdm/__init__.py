"""LSDM's trackers from trained weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from UltrasoundMotionLib.tracking.trackers.lsdm.network import Lsdm, LsdmConfig
from UltrasoundMotionLib.weights import find_card
from UltrasoundMotionLib.weights.card_network import load_card_network

if TYPE_CHECKING:
    from UltrasoundMotionLib.tracking.trackers.lsdm.lsdm_tracker import LsdmTracker, LsdmTrackerConfig
    from UltrasoundMotionLib.tracking.trackers.lsdm.published import LsdmPublishedTracker

WEIGHTS = "lsdm"


def create_lsdm(
    device: str = "cpu", card_path: str | Path | None = None, config: LsdmTrackerConfig | None = None
) -> LsdmTracker:
    """LSDM's response fused with the short and the long memory of pyramidal Lucas-Kanade.

    Args:
        card_path: of the weights; None takes the shipped ones.
        config: how they are used; None takes the default.

    Raises:
        InputError: see `load_card_network`.
    """
    from UltrasoundMotionLib.tracking.trackers.lsdm.lsdm_tracker import LsdmTracker, LsdmTrackerConfig

    place = torch.device(device)
    return LsdmTracker(_load(card_path, place), config or LsdmTrackerConfig(), place)


def create_lsdm_published(device: str = "cpu", card_path: str | Path | None = None) -> LsdmPublishedTracker:
    """The response's peak alone; motion leads the exemplar, and nothing else."""
    from UltrasoundMotionLib.tracking.trackers.lsdm.published import LsdmPublishedTracker

    place = torch.device(device)
    return LsdmPublishedTracker(_load(card_path, place), place)


def _load(card_path: str | Path | None, device: torch.device) -> Lsdm:
    return load_card_network(card_path or find_card(WEIGHTS), device, Lsdm.__name__, lsdm_network)


def lsdm_network(configuration: dict[str, Any]) -> Lsdm:
    """The network of a card's configuration."""
    return Lsdm(LsdmConfig(**configuration["network"]))
