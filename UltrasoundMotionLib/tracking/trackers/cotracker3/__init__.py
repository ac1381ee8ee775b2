"""`cotracker3` and `cotracker3-online`: the whole-clip tracker CoTracker3 (Karaev et al.), at once or in windows."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.tracking.registry import TrackerSetup, tracker
from UltrasoundMotionLib.tracking.trackers.cotracker3.settings import CoTracker3Settings
from UltrasoundMotionLib.weights import NetworkKind, OfficialCheckpoint

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.tracking.trackers.cotracker3.network import CoTracker3
    from UltrasoundMotionLib.tracking.trackers.cotracker3.offline import CoTracker3Tracker
    from UltrasoundMotionLib.tracking.trackers.cotracker3.online import CoTracker3OnlineTracker
    from UltrasoundMotionLib.weights.official_checkpoint import Converted


def _build_cotracker3(configuration: Mapping[str, Any]) -> CoTracker3:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.tracking.trackers.cotracker3.network import CoTracker3, CoTracker3Config

    return CoTracker3(from_plain(CoTracker3Config, configuration))


def _convert_cotracker3(version: str, tensors: Mapping[str, Tensor]) -> Converted:
    from UltrasoundMotionLib.tracking.trackers.cotracker3.official import convert_cotracker3

    return convert_cotracker3(tensors, version)


def _kind(architecture: str, version: str) -> NetworkKind:
    """Returns the kind of one of the two versions, which differ in their weights alone."""
    official = OfficialCheckpoint(
        project=f"CoTracker3 {version}",
        source="https://github.com/facebookresearch/co-tracker",
        paper="N. Karaev et al., CoTracker3: Simpler and Better Point Tracking by Pseudo-Labelling Real Videos, 2024,"
        " arXiv:2410.11831",
        licence="CC-BY-NC-4.0",
        marks=("updateformer.input_transform.weight", "fnet.conv1.weight"),
        convert=partial(_convert_cotracker3, version),
        files=(f"scaled_{version}.pth", f"baseline_{version}.pth"),
    )
    return NetworkKind(architecture, _build_cotracker3, official)


COTRACKER3 = _kind("CoTracker3", "offline")
COTRACKER3_ONLINE = _kind("CoTracker3Online", "online")


def _online_settings() -> CoTracker3Settings:
    """Returns the settings of `cotracker3-online`: no support points, as in the official predictor."""
    return CoTracker3Settings(support_grid=0)


@tracker(
    "cotracker3",
    "CoTracker3 on published weights: all points and frames together",
    kind="points",
    rank=22,
    settings=CoTracker3Settings,
    weights="cotracker3",
    network=COTRACKER3,
    online=False,
    use="clips of a few seconds in which points are hidden for a while, comparison with the paper",
)
def create_cotracker3(setup: TrackerSetup) -> CoTracker3Tracker:
    """Makes the tracker of whole clips."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.cotracker3.offline import CoTracker3Tracker

    return CoTracker3Tracker(setup.network, setup.settings, torch.device(setup.device))


@tracker(
    "cotracker3-online",
    "CoTracker3 on published weights: short windows one after the other, in little memory",
    kind="points",
    rank=23,
    settings=_online_settings,
    weights="cotracker3-online",
    network=COTRACKER3_ONLINE,
    online=False,
    use="long clips, comparison with the paper",
)
def create_cotracker3_online(setup: TrackerSetup) -> CoTracker3OnlineTracker:
    """Makes the tracker of sliding windows."""
    import torch

    from UltrasoundMotionLib.tracking.trackers.cotracker3.online import CoTracker3OnlineTracker

    return CoTracker3OnlineTracker(setup.network, setup.settings, torch.device(setup.device))
