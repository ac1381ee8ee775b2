"""What each part of the tracker `specknet` gives: the published network alone, then one part after the other."""

from __future__ import annotations

from pathlib import Path

from UltrasoundMotionLib.lab.benchmarks.benchmark_trackers import BenchmarkTracker
from UltrasoundMotionLib.tracking.online_tracker import OnlineTracker

STEPS: tuple[tuple[str, dict[str, object]], ...] = (
    ("+ temporal prior", {"remembers_short": False, "remembers_long": False, "consensus_length": 0.0}),
    ("+ short memory", {"remembers_long": False, "consensus_length": 0.0}),
    ("+ sub-pixel long memory", {"consensus_length": 0.0}),
    ("+ neighbours (specknet)", {}),
)
"""Name, and the settings that switch the later parts off."""


def ablation_trackers(device: str = "cpu", card_path: str | Path | None = None) -> tuple[BenchmarkTracker, ...]:
    """Lucas-Kanade's two memories without the network, the network alone, and what lies between that and the whole.

    Args:
        card_path: of other weights than the shipped ones, for instance while they are trained.
    """
    from UltrasoundMotionLib.tracking.trackers.long_short import create_lucas_kanade
    from UltrasoundMotionLib.tracking.trackers.specknet import create_specknet_published

    return (
        BenchmarkTracker("lucas-kanade (no network)", lambda: create_lucas_kanade(device), ours=True),
        BenchmarkTracker("specknet-published", lambda: create_specknet_published(device, card_path), ours=True),
        *(
            BenchmarkTracker(name, lambda switches=switches: _variant(device, card_path, switches), ours=True)
            for name, switches in STEPS
        ),
    )


def _variant(device: str, card_path: str | Path | None, switches: dict[str, object]) -> OnlineTracker:
    from UltrasoundMotionLib.tracking.trackers.specknet import create_specknet, specknet_config

    return create_specknet(device, card_path, specknet_config(**switches))
