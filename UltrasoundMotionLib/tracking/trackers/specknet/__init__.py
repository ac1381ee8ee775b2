"""The trackers built on SpeckNet, registered by name where their weights, `specknet`, are installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker
from UltrasoundMotionLib.tracking.registry import TrackerEntry, register_tracker
from UltrasoundMotionLib.weights import shipped_cards

if TYPE_CHECKING:
    import torch

    from UltrasoundMotionLib.tracking.matching.long_short_tracker import LongShortConfig

WEIGHTS = "specknet"


def specknet_config(**changes: object) -> LongShortConfig:
    """How the memories and the network are fused: the short memory is thought to drift more than without a network,
    which has to be heard then.
    """
    from UltrasoundMotionLib.tracking.matching.long_short_tracker import LongShortConfig

    return LongShortConfig(**{"drift_deviation": 0.15, **changes})


def create_specknet(
    device: str = "cpu", card_path: str | Path | None = None, config: LongShortConfig | None = None
) -> OnlineTracker:
    """SpeckNet's findings fused with the short and the long memory of pyramidal Lucas-Kanade.

    Args:
        card_path: of the weights; None takes the shipped ones.
        config: of the fusion; None takes `specknet_config()`.
    """
    import torch

    from UltrasoundMotionLib.tracking.matching.long_short_tracker import LongShortTracker
    from UltrasoundMotionLib.tracking.matching.lucas_kanade import LucasKanadeConfig, LucasKanadeMatcher
    from UltrasoundMotionLib.tracking.trackers.specknet.absolute import SpeckNetAbsolute
    from UltrasoundMotionLib.tracking.trackers.specknet.search import SpeckNetSearch, load_network
    from UltrasoundMotionLib.weights import find_card

    place = torch.device(device)
    search = SpeckNetSearch(load_network(card_path or find_card(WEIGHTS), place), place)
    absolute = SpeckNetAbsolute(search, frames_at_once=_frames_at_once(place))
    return LongShortTracker(
        LucasKanadeMatcher(LucasKanadeConfig(), place), config or specknet_config(), place, absolute
    )


def create_specknet_published(device: str = "cpu", card_path: str | Path | None = None) -> OnlineTracker:
    """The paper's network alone; `card_path` None takes the shipped weights."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.specknet.published import SpeckNetPublished
    from UltrasoundMotionLib.tracking.trackers.specknet.search import SpeckNetSearch, load_network
    from UltrasoundMotionLib.weights import find_card

    place = torch.device(device)
    search = SpeckNetSearch(load_network(card_path or find_card(WEIGHTS), place), place)
    return SpeckNetPublished(search, _frames_at_once(place))


def _frames_at_once(device: torch.device) -> int:
    """A CPU is as quick with one; a GPU waits less with several, whose cost volumes take 16 MB for 1000 points each."""
    return 1 if device.type == "cpu" else 16


if any(
    path.stem == WEIGHTS for path in shipped_cards()
):  # an installation without the weights does not offer what it cannot run
    register_tracker(
        TrackerEntry(
            "specknet",
            "points",
            "trained SpeckNet, fused with Lucas-Kanade's two memories; surest",
            create_specknet,
            weights=WEIGHTS,
        )
    )
    register_tracker(
        TrackerEntry(
            "specknet-published",
            "points",
            "trained SpeckNet alone, every frame by itself",
            create_specknet_published,
            weights=WEIGHTS,
        )
    )
