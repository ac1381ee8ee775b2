"""The trackers that need no trained weights, registered by name."""

from __future__ import annotations

from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker
from UltrasoundMotionLib.tracking.registry import TrackerEntry, register_tracker

WALL_STRETCH = 4.0
"""Chosen on tuning phantoms (seed 100; 0, 1, 4): GLS falls short of the truth by 2.1, 1.5, 0.9 points (hard, extreme,
moderate) with 0, by 1.5, 0.9, 0.5 with this, at the same position error."""


def create_lucas_kanade(device: str = "cpu", *, stretch: float = 0.0) -> OnlineTracker:
    """Pyramidal Lucas-Kanade with long and short memory."""
    import torch

    from UltrasoundMotionLib.tracking.matching.long_short_tracker import LongShortConfig, LongShortTracker
    from UltrasoundMotionLib.tracking.matching.lucas_kanade import LucasKanadeConfig, LucasKanadeMatcher

    config = LongShortConfig(stretch=stretch)
    return LongShortTracker(LucasKanadeMatcher(LucasKanadeConfig(), torch.device(device)), config, torch.device(device))


def create_wall_tracker(device: str = "cpu") -> OnlineTracker:
    """Lucas-Kanade for points along a wall, whose neighbours are expected to stretch and shorten together as well as to
    move together.
    """
    return create_lucas_kanade(device, stretch=WALL_STRETCH)


def create_block_matching(device: str = "cpu") -> OnlineTracker:
    """Block matching by normalised cross-correlation with long and short memory."""
    import torch

    from UltrasoundMotionLib.tracking.matching.block_matching import BlockMatcher, BlockMatchingConfig
    from UltrasoundMotionLib.tracking.matching.long_short_tracker import LongShortConfig, LongShortTracker

    return LongShortTracker(
        BlockMatcher(BlockMatchingConfig(), torch.device(device)), LongShortConfig(), torch.device(device)
    )


register_tracker(
    TrackerEntry(
        "lucas-kanade", "points", "pyramidal Lucas-Kanade, long and short memory fused; quickest", create_lucas_kanade
    )
)
register_tracker(
    TrackerEntry(
        "block-matching",
        "points",
        "normalised cross-correlation with sub-pixel peak, long and short memory fused",
        create_block_matching,
    )
)
register_tracker(
    TrackerEntry(
        "lucas-kanade-wall",
        "points",
        "lucas-kanade for a wall, whose points stretch apart as well as move; for strain",
        create_wall_tracker,
    )
)
