"""`block-matching`: normalised cross-correlation with a short and a long memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from UltrasoundMotionLib.tracking.matching.settings import point_tracker_settings
from UltrasoundMotionLib.tracking.registry import TrackerSetup, tracker

if TYPE_CHECKING:
    from UltrasoundMotionLib.tracking.matching.long_short_tracker import LongShortTracker


@tracker(
    "block-matching",
    "normalised cross-correlation with sub-pixel peak, long and short memory fused",
    kind="points",
    rank=1,
    settings=point_tracker_settings,
    devices=(),
    use="a second opinion beside lucas-kanade, by other means",
)
def create_block_matching(setup: TrackerSetup) -> LongShortTracker:
    """Makes the tracker."""
    from UltrasoundMotionLib.tracking.matching.block_matching import BlockMatcher, BlockMatchingConfig
    from UltrasoundMotionLib.tracking.matching.long_short_tracker import LongShortTracker

    return LongShortTracker(BlockMatcher(BlockMatchingConfig()), setup.settings)
