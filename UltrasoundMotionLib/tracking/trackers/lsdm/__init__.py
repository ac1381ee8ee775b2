"""`lsdm`: the landmark tracker LSDM (Liu et al.)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.tracking.registry import TrackerSetup, tracker
from UltrasoundMotionLib.weights import NetworkKind

if TYPE_CHECKING:
    from UltrasoundMotionLib.tracking.trackers.lsdm.lsdm_tracker import LsdmTracker, LsdmTrackerConfig
    from UltrasoundMotionLib.tracking.trackers.lsdm.network import Lsdm


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
    "long and short diffeomorphic motion lead a Siamese network (Liu et al.)",
    kind="landmarks",
    rank=12,
    settings=_lsdm_settings,
    weights="lsdm",
    network=LSDM,
    use="comparison with the paper",
)
def create_lsdm(setup: TrackerSetup) -> LsdmTracker:
    """Makes the tracker: the peak of the warped exemplar's response, under the prior that motion gives."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.lsdm.lsdm_tracker import LsdmTracker

    network = setup.network.to(memory_format=torch.channels_last)  # a tenth quicker on a CPU
    return LsdmTracker(network, setup.settings, torch.device(setup.device))
