"""`locotrack-small` and `locotrack-base`: the whole-clip tracker LocoTrack (Cho et al., ECCV 2024) in both sizes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.tracking.registry import TrackerSetup, tracker
from UltrasoundMotionLib.weights import NetworkKind, OfficialCheckpoint

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.tracking.network_blocks.estimate_tracker import EstimateTracker
    from UltrasoundMotionLib.tracking.trackers.locotrack.network import LocoTrack
    from UltrasoundMotionLib.weights.official_checkpoint import Converted

_BYTES_OF_PIXEL = 128
"""Memory for a pixel of a resized frame: its features (64 float32 for 4 pixels, 128 for 16, 256 for 64), and the image.
"""


def _build_locotrack(configuration: Mapping[str, Any]) -> LocoTrack:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.tracking.trackers.locotrack.network import LocoTrack, LocoTrackConfig

    return LocoTrack(from_plain(LocoTrackConfig, configuration))


def _convert_locotrack(tensors: Mapping[str, Tensor], *, encoder_layers: int) -> Converted:
    from UltrasoundMotionLib.tracking.trackers.locotrack.official import convert_locotrack

    return convert_locotrack(tensors, encoder_layers=encoder_layers)


def _official(project: str, file: str, encoder_layers: int, *more_marks: str) -> OfficialCheckpoint:
    return OfficialCheckpoint(
        project=project,
        source="https://github.com/cvlab-kaist/locotrack",
        paper="S. Cho et al., Local All-Pair Correspondence for Point Tracking, ECCV 2024, arXiv:2407.15420",
        licence="Apache-2.0",
        marks=("cmdtop.0.conv.0.0.weight", "torch_pips_mixer.input_proj.weight", *more_marks),
        convert=partial(_convert_locotrack, encoder_layers=encoder_layers),
        files=(file,),
    )


LOCOTRACK_SMALL = NetworkKind(
    "LocoTrack-S", _build_locotrack, _official("LocoTrack-S", "locotrack_small.ckpt", encoder_layers=2)
)
LOCOTRACK_BASE = NetworkKind(
    "LocoTrack-B",
    _build_locotrack,
    _official("LocoTrack-B", "locotrack_base.ckpt", 3, "cmdtop.0.conv.2.0.weight"),
)


@tracker(
    "locotrack-small",
    "LocoTrack-S on published weights: whole neighbourhoods compared, tracks refined",
    kind="points",
    rank=26,
    weights="locotrack-small",
    network=LOCOTRACK_SMALL,
    online=False,
    use="comparison with the paper, many points in little time",
)
def create_locotrack_small(setup: TrackerSetup) -> EstimateTracker:
    """Makes the tracker with the small network."""
    return _create(setup)


@tracker(
    "locotrack-base",
    "LocoTrack-B on published weights: as locotrack-small, larger",
    kind="points",
    rank=27,
    weights="locotrack-base",
    network=LOCOTRACK_BASE,
    online=False,
    use="comparison with the paper",
)
def create_locotrack_base(setup: TrackerSetup) -> EstimateTracker:
    """Makes the tracker with the large network."""
    return _create(setup)


def _create(setup: TrackerSetup) -> EstimateTracker:
    import torch

    from UltrasoundMotionLib.tracking.network_blocks.estimate_tracker import EstimateTracker

    network: LocoTrack = setup.network
    return EstimateTracker(
        network,
        side=network.config.input_size,
        bytes_of_pixel=_BYTES_OF_PIXEL,
        resolutions=1,
        iterations=network.config.iterations,
        device=torch.device(setup.device),
    )
