"""What each part of the tracker `specknet` gives: the published network alone, then one part after the other."""

from __future__ import annotations

from pathlib import Path

from UltrasoundMotionLib.lab.benchmarks.benchmark_trackers import BenchmarkTracker

STEPS: tuple[tuple[str, dict[str, object]], ...] = (
    (
        "+ temporal prior",
        {"short": {"enabled": False}, "long": {"enabled": False}, "consensus": {"length": 0.0}},
    ),
    ("+ short memory", {"long": {"enabled": False}, "consensus": {"length": 0.0}}),
    ("+ sub-pixel long memory", {"consensus": {"length": 0.0}}),
    ("+ neighbours (specknet)", {}),
)
"""Name, and the settings that switch the later parts off."""


def ablation_trackers(device: str = "cpu", weights: str | Path | None = None) -> tuple[BenchmarkTracker, ...]:
    """Returns Lucas-Kanade's two memories without the network, the network alone, and the steps between it and the
    whole tracker.

    Args:
        weights: in place of the shipped ones, for instance while they are trained.
    """
    from UltrasoundMotionLib.tracking.registry import find_tracker

    plain, network, whole = map(find_tracker, ("lucas-kanade", "specknet-published", "specknet"))
    return (
        BenchmarkTracker("lucas-kanade (no network)", lambda: plain.make(device), ours=True),
        BenchmarkTracker("specknet-published", lambda: network.make(device, weights=weights), ours=True),
        *(
            BenchmarkTracker(
                name, lambda switches=switches: whole.make(device, settings=switches, weights=weights), ours=True
            )
            for name, switches in STEPS
        ),
    )
