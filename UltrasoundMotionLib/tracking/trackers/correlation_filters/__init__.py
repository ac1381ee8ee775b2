"""`kcf` and `lct`: correlation-filter trackers for single landmarks, without trained weights.

Their settings suit ultrasound rather than photographs. Chosen on the harder half of tuning liver phantoms (seed 100),
mean error of visible landmarks in mm. Grey levels at full resolution instead of gradients in cells of four pixels (2.7
against 4.5): a landmark's speckle and walls are a few pixels wide, its gradients mostly noise, and its position is
wanted to a fraction of a pixel. A learning rate of 0.2 instead of 0.075 (1.4 against 2.7), because speckle changes
faster than the surface of an object. One size, because a probe's depth stays. Nothing is learnt from a place that does
not look like the landmark, so that it is found again when it comes back into view.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from UltrasoundMotionLib.tracking.registry import TrackerSetup, tracker

if TYPE_CHECKING:
    from UltrasoundMotionLib.tracking.trackers.correlation_filters.kcf import KcfConfig, KcfTracker
    from UltrasoundMotionLib.tracking.trackers.correlation_filters.lct import LctConfig, LctTracker


def _kcf_settings() -> KcfConfig:
    """Returns KCF's settings for ultrasound."""
    from UltrasoundMotionLib.tracking.trackers.correlation_filters.kcf import KcfConfig

    return KcfConfig(learning_rate=0.2, visible_above=0.6, lost_below=0.25, learn_alike=0.6)


def _lct_settings() -> LctConfig:
    """Returns LCT's settings for ultrasound; its detector searches as far as a breath may carry a landmark."""
    from UltrasoundMotionLib.tracking.trackers.correlation_filters.lct import LctConfig

    return LctConfig(
        padding=1.5,
        features="grey",
        kernel_sigma=0.2,
        context_rate=0.2,
        size_count=1,
        reach_px=40.0,
        visible_above=0.25,
        detect_alike=0.4,
        lost_below=0.25,
        learn_alike=0.6,
    )


@tracker(
    "kcf",
    "kernelized correlation filter (Henriques et al. 2015) on grey levels, for ultrasound",
    kind="landmarks",
    rank=10,
    settings=_kcf_settings,
    use="a quick baseline for single landmarks",
    recommended=True,
)
def create_kcf(setup: TrackerSetup) -> KcfTracker:
    """Makes the tracker."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.correlation_filters.kcf import KcfTracker

    return KcfTracker(setup.settings, torch.device(setup.device))


@tracker(
    "lct",
    "kcf with a long-term memory and a search when it is lost (Ma et al. 2015), for ultrasound",
    kind="landmarks",
    rank=11,
    settings=_lct_settings,
    use="a baseline for single landmarks that are lost at times",
)
def create_lct(setup: TrackerSetup) -> LctTracker:
    """Makes the tracker."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.correlation_filters.lct import LctTracker

    return LctTracker(setup.settings, torch.device(setup.device))
