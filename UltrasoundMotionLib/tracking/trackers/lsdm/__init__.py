"""`lsdm` and `lsdm-published`: landmark trackers built on LSDM's network (Liu et al.)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.tracking.registry import TrackerSetup, tracker
from UltrasoundMotionLib.weights import NetworkKind

if TYPE_CHECKING:
    from UltrasoundMotionLib.tracking.trackers.lsdm.lsdm_tracker import LsdmTracker, LsdmTrackerConfig
    from UltrasoundMotionLib.tracking.trackers.lsdm.network import Lsdm
    from UltrasoundMotionLib.tracking.trackers.lsdm.published import LsdmPublishedTracker


def _build_lsdm(configuration: Mapping[str, Any]) -> Lsdm:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.tracking.trackers.lsdm.network import Lsdm, LsdmConfig

    return Lsdm(from_plain(LsdmConfig, configuration["network"]))


LSDM = NetworkKind("Lsdm", _build_lsdm)


def _lsdm_settings() -> LsdmTrackerConfig:
    """Returns the settings of `lsdm`."""
    from UltrasoundMotionLib.tracking.trackers.lsdm.lsdm_tracker import LsdmTrackerConfig

    return LsdmTrackerConfig()


@tracker(
    "lsdm",
    "long and short diffeomorphic motion lead a Siamese network (Liu et al.), fused with two memories; surest",
    kind="landmarks",
    rank=12,
    settings=_lsdm_settings,
    weights="lsdm",
    network=LSDM,
    use="single landmarks through minutes of breathing, shadows included",
    recommended=True,
)
def create_lsdm(setup: TrackerSetup) -> LsdmTracker:
    """Makes the tracker: LSDM's response fused with the two memories of pyramidal Lucas-Kanade."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.lsdm.lsdm_tracker import LsdmTracker

    return LsdmTracker(setup.network, setup.settings, torch.device(setup.device))


@tracker(
    "lsdm-published",
    "LSDM as published, its network's response alone",
    kind="landmarks",
    rank=13,
    weights="lsdm",
    network=LSDM,
    use="comparison with the paper",
)
def create_lsdm_published(setup: TrackerSetup) -> LsdmPublishedTracker:
    """Makes the tracker: the peak of the response alone; motion leads the exemplar, and nothing else."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.lsdm.published import LsdmPublishedTracker

    return LsdmPublishedTracker(setup.network, torch.device(setup.device))
