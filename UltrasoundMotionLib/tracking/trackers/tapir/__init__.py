"""`tapir` and `bootstapir`: the whole-clip trackers TAPIR and BootsTAPIR (Doersch et al.)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.settings import from_plain
from UltrasoundMotionLib.tracking.registry import TrackerSetup, tracker
from UltrasoundMotionLib.tracking.trackers.tapir.settings import TapirSettings
from UltrasoundMotionLib.weights import NetworkKind, OfficialCheckpoint

if TYPE_CHECKING:
    from torch import Tensor

    from UltrasoundMotionLib.tracking.network_blocks.estimate_tracker import EstimateTracker
    from UltrasoundMotionLib.tracking.network_blocks.track_estimate import TrackEstimate
    from UltrasoundMotionLib.tracking.trackers.tapir.network import Tapir
    from UltrasoundMotionLib.weights.official_checkpoint import Converted

_SOURCE = "https://github.com/google-deepmind/tapnet"
_BYTES_OF_PIXEL = 64
"""Memory for a pixel of a resized frame: its fine features (128 float32 for 16 pixels), its coarse ones (256 for 64)
and their averages, and the image.
"""


def _build_tapir(configuration: Mapping[str, Any]) -> Tapir:
    """Builds the network of a card's configuration."""
    from UltrasoundMotionLib.tracking.trackers.tapir.network import Tapir, TapirConfig

    return Tapir(from_plain(TapirConfig, configuration))


def _convert_tapir(tensors: Mapping[str, Tensor], *, extra_convolutions: bool) -> Converted:
    from UltrasoundMotionLib.tracking.trackers.tapir.official import convert_tapir

    return convert_tapir(tensors, extra_convolutions=extra_convolutions)


TAPIR = NetworkKind(
    "TAPIR",
    _build_tapir,
    OfficialCheckpoint(
        project="TAPIR",
        source=_SOURCE,
        paper="C. Doersch et al., TAPIR: Tracking Any Point with per-frame Initialization and temporal Refinement, ICCV"
        " 2023, arXiv:2306.08637",
        licence="Apache-2.0",
        marks=("torch_cost_volume_track_mods.hid1.weight", "torch_pips_mixer.linear.weight"),
        convert=partial(_convert_tapir, extra_convolutions=False),
        files=("tapir_checkpoint_panning.pt",),
    ),
)
BOOTSTAPIR = NetworkKind(
    "BootsTAPIR",
    _build_tapir,
    OfficialCheckpoint(
        project="BootsTAPIR",
        source=_SOURCE,
        paper="C. Doersch et al., BootsTAP: Bootstrapped Training for Tracking-Any-Point, ACCV 2024, arXiv:2402.00847",
        licence="Apache-2.0",
        marks=("torch_cost_volume_track_mods.hid1.weight", "torch_pips_mixer.linear.weight", "extra_convs."),
        convert=partial(_convert_tapir, extra_convolutions=True),
        files=("bootstapir_checkpoint_v2.pt",),
    ),
)


@tracker(
    "tapir",
    "TAPIR on published weights: each frame searched, then whole tracks refined",
    kind="points",
    rank=24,
    settings=TapirSettings,
    weights="tapir",
    network=TAPIR,
    online=False,
    use="comparison with the paper, points that are hidden for a while",
)
def create_tapir(setup: TrackerSetup) -> EstimateTracker:
    """Makes the tracker with TAPIR's weights."""
    return _create(setup)


@tracker(
    "bootstapir",
    "BootsTAPIR on published weights: TAPIR trained further on real videos; slow",
    kind="points",
    rank=25,
    settings=TapirSettings,
    weights="bootstapir",
    network=BOOTSTAPIR,
    online=False,
    use="comparison with the paper, points that are hidden for a while",
)
def create_bootstapir(setup: TrackerSetup) -> EstimateTracker:
    """Makes the tracker with BootsTAPIR's weights."""
    return _create(setup)


def _create(setup: TrackerSetup) -> EstimateTracker:
    import torch

    from UltrasoundMotionLib.tracking.network_blocks.estimate_tracker import EstimateTracker

    network: Tapir = setup.network
    scale = setup.settings.refinement_scale
    sides = [network.config.input_size * factor for factor in (1, 2, 4) if factor <= scale]

    def estimate(images: Tensor, points: Tensor, frames: Tensor, on_step: Callable[[], None]) -> TrackEstimate:
        return network(images, points, frames, [(side, side) for side in sides], on_step)

    return EstimateTracker(
        estimate,
        side=sides[-1],
        bytes_of_pixel=_BYTES_OF_PIXEL if scale == 1 else 2 * _BYTES_OF_PIXEL,
        resolutions=len(sides),
        iterations=network.config.iterations,
        device=torch.device(setup.device),
    )
