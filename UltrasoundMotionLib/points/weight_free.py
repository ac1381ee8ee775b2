"""The two trackers that need no trained weights, registered by name."""

from __future__ import annotations

from UltrasoundMotionLib.tracks.online_tracker import OnlineTracker
from UltrasoundMotionLib.tracks.tracker_registry import TrackerEntry, register_tracker


def create_lucas_kanade(device: str = "cpu") -> OnlineTracker:
    """Pyramidal Lucas-Kanade with long and short memory."""
    import torch

    from UltrasoundMotionLib.points.long_short_tracker import LongShortConfig, LongShortTracker
    from UltrasoundMotionLib.points.lucas_kanade import LucasKanadeConfig, LucasKanadeMatcher

    return LongShortTracker(LucasKanadeMatcher(LucasKanadeConfig(), torch.device(device)), LongShortConfig(), torch.device(device))


def create_block_matching(device: str = "cpu") -> OnlineTracker:
    """Block matching by normalised cross-correlation with long and short memory."""
    import torch

    from UltrasoundMotionLib.points.block_matching import BlockMatcher, BlockMatchingConfig
    from UltrasoundMotionLib.points.long_short_tracker import LongShortConfig, LongShortTracker

    return LongShortTracker(BlockMatcher(BlockMatchingConfig(), torch.device(device)), LongShortConfig(), torch.device(device))


register_tracker(
    TrackerEntry("lucas-kanade", "points", "pyramidal Lucas-Kanade, long and short memory fused; quickest", create_lucas_kanade)
)
register_tracker(
    TrackerEntry("block-matching", "points", "normalised cross-correlation with sub-pixel peak, long and short memory fused", create_block_matching)
)
