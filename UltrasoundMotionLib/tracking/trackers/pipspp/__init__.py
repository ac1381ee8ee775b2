"""`pipspp`: the whole-clip tracker PIPs++ (Zheng, Harley et al., ICCV 2023)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.tracking.registry import TrackerSetup, tracker
from UltrasoundMotionLib.tracking.trackers.pipspp.settings import PipsPlusPlusSettings
from UltrasoundMotionLib.weights import NetworkKind, OfficialCheckpoint

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.tracking.trackers.pipspp.network import PipsPlusPlus
    from UltrasoundMotionLib.tracking.trackers.pipspp.tracker import PipsPlusPlusTracker
    from UltrasoundMotionLib.weights.official_checkpoint import Converted


def _build_pipspp(configuration: Mapping[str, Any]) -> PipsPlusPlus:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.tracking.trackers.pipspp.network import PipsPlusPlus, PipsPlusPlusConfig

    return PipsPlusPlus(from_plain(PipsPlusPlusConfig, configuration))


def _convert_pipspp(tensors: Mapping[str, Tensor]) -> Converted:
    from UltrasoundMotionLib.tracking.trackers.pipspp.official import convert_pipspp

    return convert_pipspp(tensors)


PIPS_PLUS_PLUS = NetworkKind(
    "PipsPlusPlus",
    _build_pipspp,
    OfficialCheckpoint(
        project="PIPs++",
        source="https://github.com/aharley/pips2",
        paper="Y. Zheng, A. W. Harley et al., PointOdyssey: A Large-Scale Synthetic Dataset for Long-Term Point"
        " Tracking, ICCV 2023",
        licence="MIT",
        marks=("delta_block.first_block_conv.conv.weight", "fnet.conv1.weight"),
        convert=_convert_pipspp,
    ),
)


@tracker(
    "pipspp",
    "PIPs++ on published weights: refines whole trajectories over time",
    kind="points",
    rank=21,
    settings=PipsPlusPlusSettings,
    weights="pipspp",
    network=PIPS_PLUS_PLUS,
    gives_confidence=False,
    online=False,
    use="long films of other kinds than ultrasound, comparison with the paper",
)
def create_pipspp(setup: TrackerSetup) -> PipsPlusPlusTracker:
    """Makes the tracker."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.pipspp.tracker import PipsPlusPlusTracker

    device = torch.device(setup.device)
    return PipsPlusPlusTracker(setup.network, setup.settings, device, 1 if device.type == "cpu" else 16)
