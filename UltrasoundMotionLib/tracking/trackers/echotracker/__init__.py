"""`echotracker`: the whole-clip tracker EchoTracker (Azad et al., MICCAI 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.tracking.registry import TrackerSetup, tracker
from UltrasoundMotionLib.tracking.trackers.echotracker.settings import EchoTrackerSettings
from UltrasoundMotionLib.weights import NetworkKind, OfficialCheckpoint

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.tracking.trackers.echotracker.network import EchoTracker
    from UltrasoundMotionLib.tracking.trackers.echotracker.tracker import EchoTrackerTracker
    from UltrasoundMotionLib.weights.official_checkpoint import Converted


def _build_echotracker(configuration: Mapping[str, Any]) -> EchoTracker:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.tracking.trackers.echotracker.network import EchoTracker, EchoTrackerConfig

    return EchoTracker(from_plain(EchoTrackerConfig, configuration))


def _convert_echotracker(tensors: Mapping[str, Tensor]) -> Converted:
    from UltrasoundMotionLib.tracking.trackers.echotracker.official import convert_echotracker

    return convert_echotracker(tensors)


ECHOTRACKER = NetworkKind(
    "EchoTracker",
    _build_echotracker,
    OfficialCheckpoint(
        project="EchoTracker",
        source="https://github.com/riponazad/echotracker",
        paper="M. A. Azad et al., EchoTracker: Advancing Myocardial Point Tracking in Echocardiography, MICCAI 2024",
        licence="MIT",
        marks=("delta_block_spatial.first_block_conv.conv.weight", "fnet_fine.conv1.weight"),
        convert=_convert_echotracker,
    ),
)


@tracker(
    "echotracker",
    "EchoTracker on published weights: searches each frame, then refines over time",
    kind="points",
    rank=20,
    settings=EchoTrackerSettings,
    weights="echotracker",
    network=ECHOTRACKER,
    gives_confidence=False,
    online=False,
    use="heart muscle over one cycle, comparison with the paper",
)
def create_echotracker(setup: TrackerSetup) -> EchoTrackerTracker:
    """Makes the tracker."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.echotracker.tracker import EchoTrackerTracker

    device = torch.device(setup.device)
    return EchoTrackerTracker(setup.network, setup.settings, device, 1 if device.type == "cpu" else 16)
