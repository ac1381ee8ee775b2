"""`benchmark ablation`: a tracker part by part: `specknet` from the published network alone to the whole, or
`lucas-kanade` without one of its parts after the other.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from UltrasoundMotionLib.cli.terminal_progress import TerminalProgress
from UltrasoundMotionLib.lab.benchmarks.command import (
    TUNING_SEED,
    add_output_arguments,
    add_phantom_arguments,
    check_against,
    check_arguments,
    show,
    thread_count,
    whole_number,
)
from UltrasoundMotionLib.lab.benchmarks.trackers import BenchmarkTracker
from UltrasoundMotionLib.lab.benchmarks.tracking import benchmark_tracking
from UltrasoundMotionLib.lab.phantom_cases import MOST_POINTS, phantom_cases

NETWORK_ALONE = "specknet-published"

_ALONE: dict[str, object] = {"support": {"count": 0}, "correction": {"enabled": False}}

STEPS: tuple[tuple[str, dict[str, object]], ...] = (
    (
        "+ temporal prior",
        {"short": {"enabled": False}, "long": {"enabled": False}, "consensus": {"length": 0.0}, **_ALONE},
    ),
    ("+ short memory", {"long": {"enabled": False}, "consensus": {"length": 0.0}, **_ALONE}),
    ("+ sub-pixel long memory", {"consensus": {"length": 0.0}, **_ALONE}),
    ("+ neighbours", _ALONE),
    ("+ support points and shared corrections (specknet)", {}),
)
"""Name, and the settings that switch the later parts off."""


WHOLE = "lucas-kanade"

PARTS: tuple[tuple[str, dict[str, object]], ...] = (
    ("- support points", {"support": {"count": 0}}),
    ("- consensus of neighbours", {"correction": {"consensus": 0.0}}),
    ("- doubt of what stands still", {"correction": {"stray": 0.0}}),
    ("- motion from the query frame", {"flow": {"every": 0}}),
    ("- correction shared by neighbours", {"correction": {"shared": 0.0}}),
    (
        "- all of these",
        {
            "support": {"count": 0},
            "correction": {"enabled": False},
            "flow": {"every": 0},
            "long": {"level": 1, "search": 1.5, "trust": 0.2},
        },
    ),
)
"""Name, and the settings that switch that part of `lucas-kanade` off; the last has the long memory's settings that
serve a tracker without them.
"""


def part_trackers() -> tuple[BenchmarkTracker, ...]:
    """Returns `lucas-kanade`, and the same without each of its parts."""
    from UltrasoundMotionLib.tracking.registry import find_tracker

    whole = find_tracker(WHOLE)
    return (
        BenchmarkTracker(WHOLE, whole.make, ours=True),
        *(BenchmarkTracker(name, partial(whole.make, settings=switches), ours=True) for name, switches in PARTS),
    )


def ablation_trackers(device: str = "cpu", weights: str | Path | None = None) -> tuple[BenchmarkTracker, ...]:
    """Returns Lucas-Kanade's two memories without the network, the network alone, and the steps between it and the
    whole tracker.

    Args:
        weights: in place of the shipped ones, for instance while they are trained.
    """
    from UltrasoundMotionLib.tracking.registry import find_tracker

    plain, network, whole = map(find_tracker, ("lucas-kanade", NETWORK_ALONE, "specknet"))
    return (
        BenchmarkTracker("lucas-kanade (no network)", partial(plain.make, device), ours=True),
        BenchmarkTracker(NETWORK_ALONE, partial(network.make, device, weights=weights), ours=True),
        *(
            BenchmarkTracker(name, partial(whole.make, device, settings=switches, weights=weights), ours=True)
            for name, switches in STEPS
        ),
    )


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the benchmark."""
    parser = subparsers.add_parser(
        "ablation",
        help="the parts of the tracker specknet or lucas-kanade, one after the other",
        description=(
            "Follows phantoms' tissue with SpeckNet as published and with one part of the tracker specknet after the"
            " other, or with lucas-kanade and without one of its parts after the other."
        ),
    )
    parser.add_argument(
        "--model", choices=("specknet", WHOLE), default="specknet", help="the tracker (default specknet)"
    )
    add_phantom_arguments(parser, count=3, seed=TUNING_SEED)
    parser.add_argument(
        "--points",
        metavar="N",
        type=whole_number,
        default=MOST_POINTS,
        help=f"of a phantom, at most (default {MOST_POINTS})",
    )
    parser.add_argument(
        "--weights", metavar="CARD", type=Path, help="model card of other weights than the shipped ones"
    )
    parser.add_argument("--device", metavar="D", default="cpu", help="cpu (default), cuda, mps or auto")
    parser.add_argument(
        "--against",
        metavar="NAME",
        help=f"compare all others with this one, case by case (default {NETWORK_ALONE}, or {WHOLE} of its parts)",
    )
    add_output_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Runs and prints it."""
    from UltrasoundMotionLib.device import choose_device

    check_arguments(arguments)
    if arguments.model == WHOLE:
        trackers, against = part_trackers(), WHOLE
    else:
        trackers, against = ablation_trackers(choose_device(arguments.device), arguments.weights), NETWORK_ALONE
    check_against(arguments, [tracker.name for tracker in trackers])
    cases = phantom_cases(
        arguments.kind, arguments.difficulty, count=arguments.count, seed=arguments.seed, most_points=arguments.points
    )
    case_count = len(arguments.kind) * len(arguments.difficulty) * arguments.count
    with TerminalProgress("benchmark", "runs") as progress:
        result = benchmark_tracking(cases, trackers, case_count=case_count, threads=thread_count(), progress=progress)
    print(f"{case_count} phantoms of seed {arguments.seed}, {thread_count()} threads, device {arguments.device}")
    show(replace(result, against=against), arguments)
    return 0
