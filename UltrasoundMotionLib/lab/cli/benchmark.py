"""`benchmark`: every figure that the project claims, printed by a command."""

from __future__ import annotations

import argparse
import importlib

BENCHMARKS = (
    "tracking",
    "landmarks",
    "wires",
    "disk",
    "round_trip",
    "speed",
    "memory",
    "scene",
    "registration",
    "sequence",
    "strain",
    "motion_bias",
    "query_phase",
    "ablation",
    "semantic_ablation",
    "lsdm_ablation",
)
"""Modules of `cli/benchmarks`, each with `add_parser` and `run` as a verb has.

A new benchmark adds its name here and its file there.
"""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the verb and its benchmarks."""
    parser = subparsers.add_parser(
        "benchmark", help="measure accuracy, speed and memory, beside other libraries and beside the goals"
    )
    benchmarks = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    for name in BENCHMARKS:
        importlib.import_module(f"UltrasoundMotionLib.lab.cli.benchmarks.{name}").add_parser(benchmarks)
