"""The landmark trackers that need no trained weights, registered by name, with what suits ultrasound in place of what
suits photographs.

Chosen on the harder half of tuning liver phantoms (seed 100), mean error of visible landmarks in mm.
Grey levels at full resolution instead of gradients in cells of four pixels (2.7 against 4.5): a
landmark's speckle and walls are a few pixels wide, its gradients mostly noise, and its place is wanted to a fraction of
a pixel. A learning rate of 0.2 instead of 0.075 (1.4 against 2.7), because speckle changes faster than the surface of
an object. One size, because a probe's depth stays.
"""

from __future__ import annotations

from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker
from UltrasoundMotionLib.tracking.registry import TrackerEntry, register_tracker


def create_kcf(device: str = "cpu") -> OnlineTracker:
    """KCF on grey levels."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.correlation_filters.kcf import KcfConfig, KcfTracker

    return KcfTracker(KcfConfig(learning_rate=0.2, visible_above=0.6), torch.device(device))


def create_lct(device: str = "cpu") -> OnlineTracker:
    """LCT on grey levels; its detector searches as far as a breath may carry a landmark."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.correlation_filters.lct import LctConfig, LctTracker

    config = LctConfig(
        padding=1.5, features="grey", kernel_sigma=0.2, context_rate=0.2, size_count=1, reach_px=40.0, visible_above=0.25
    )  # fmt: skip
    return LctTracker(config, torch.device(device))


register_tracker(
    TrackerEntry(
        "kcf",
        "landmarks",
        "kernelized correlation filter (Henriques et al. 2015) on grey levels, for ultrasound",
        create_kcf,
    )
)
register_tracker(
    TrackerEntry(
        "lct",
        "landmarks",
        "kcf with a long-term memory and a search when it is lost (Ma et al. 2015), for ultrasound",
        create_lct,
    )
)
