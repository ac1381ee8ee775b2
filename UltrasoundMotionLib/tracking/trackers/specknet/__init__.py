"""`specknet` and `specknet-published`: point trackers built on the network SpeckNet (Azad et al.)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.device import has_bfloat16
from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.tracking.matching.settings import (
    CorrectionSettings,
    LongShortSettings,
    ShortMemorySettings,
    SupportSettings,
)
from UltrasoundMotionLib.tracking.registry import TrackerSetup, tracker
from UltrasoundMotionLib.weights import NetworkKind

if TYPE_CHECKING:
    import torch

    from UltrasoundMotionLib.tracking.matching.long_short_tracker import LongShortTracker
    from UltrasoundMotionLib.tracking.trackers.specknet.network import SpeckNet
    from UltrasoundMotionLib.tracking.trackers.specknet.published import SpeckNetPublished


def _build_specknet(configuration: Mapping[str, Any]) -> SpeckNet:
    """Builds the network of a card's configuration."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.specknet.network import SpeckNetConfig
    from UltrasoundMotionLib.tracking.trackers.specknet.temporal_head import build_specknet

    network = build_specknet(from_plain(SpeckNetConfig, configuration))
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # PyTorch's types lack it


SPECKNET = NetworkKind("SpeckNet", _build_specknet)


def _specknet_settings() -> LongShortSettings:
    """Returns the settings of the fusion: the short memory is assumed to drift more than without a network, so that the
    network's findings count; few points get support points, and drift is corrected together.

    The long memory's own settings are those from before there were support points: with `point_tracker_settings`'
    the mean accuracy on tuning phantoms of seed 8701 was lower (87.7 % against 88.2 %).
    """
    return LongShortSettings(
        short=ShortMemorySettings(drift_deviation=0.15), correction=CorrectionSettings(), support=SupportSettings()
    )


@tracker(
    "specknet",
    "trained SpeckNet, fused with Lucas-Kanade's two memories; surest",
    kind="points",
    rank=3,
    settings=_specknet_settings,
    weights="specknet",
    network=SPECKNET,
    use="speckle that changes, shadows, tissue that leaves the plane",
    recommended=True,
)
def create_specknet(setup: TrackerSetup) -> LongShortTracker:
    """Makes the tracker: SpeckNet's findings fused with the two memories of pyramidal Lucas-Kanade."""
    import torch

    from UltrasoundMotionLib.tracking.matching.long_short_tracker import LongShortTracker
    from UltrasoundMotionLib.tracking.matching.lucas_kanade import LucasKanadeConfig, LucasKanadeMatcher
    from UltrasoundMotionLib.tracking.trackers.specknet.absolute import SpeckNetAbsolute, SpeckNetFindingConfig
    from UltrasoundMotionLib.tracking.trackers.specknet.search import SpeckNetSearch

    device = torch.device(setup.device)
    finding = SpeckNetFindingConfig()
    search = SpeckNetSearch(
        setup.network,
        device,
        contrast_power=finding.contrast_power,
        bfloat16=device.type == "cpu" and has_bfloat16("cpu"),
    )
    absolute = SpeckNetAbsolute(search, finding, frames_at_once=_frames_at_once(device), head=setup.network.head)
    return LongShortTracker(LucasKanadeMatcher(LucasKanadeConfig()), setup.settings, absolute)


@tracker(
    "specknet-published",
    "trained SpeckNet alone, every frame by itself",
    kind="points",
    rank=4,
    weights="specknet",
    network=SPECKNET,
    use="comparison with the paper",
)
def create_specknet_published(setup: TrackerSetup) -> SpeckNetPublished:
    """Makes the tracker: the paper's network alone."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.specknet.published import SpeckNetPublished
    from UltrasoundMotionLib.tracking.trackers.specknet.search import SpeckNetSearch

    device = torch.device(setup.device)
    return SpeckNetPublished(SpeckNetSearch(setup.network, device), _frames_at_once(device))


def _frames_at_once(device: torch.device) -> int:
    """Returns how many frames the network sees together: one on a CPU, which gains nothing from more; 16 on a GPU,
    whose cost volumes take 16 MB for 1000 points each.
    """
    return 1 if device.type == "cpu" else 16
