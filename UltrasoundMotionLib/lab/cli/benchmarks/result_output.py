"""How a benchmark's result is shown: its table, the goals beside what was measured, and JSON."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from UltrasoundMotionLib.atomic_output import check_output_path
from UltrasoundMotionLib.json_output import write_json
from UltrasoundMotionLib.lab.benchmarks.target import Target, targets_table


class BenchmarkResult(Protocol):
    """What every benchmark returns."""

    def table(self) -> str: ...

    def targets(self) -> Sequence[Target]: ...

    def as_dict(self) -> dict: ...


def add_output_arguments(parser: argparse.ArgumentParser) -> None:
    """`--json`."""
    parser.add_argument("--json", metavar="OUT.json", type=Path, help="also write everything as JSON")


def check_output(arguments: argparse.Namespace) -> None:
    """Finds out before the work whether its result can be written.

    Raises:
        OutputError: see `check_output_path`.
    """
    if arguments.json:
        check_output_path(arguments.json)


def show(result: BenchmarkResult, arguments: argparse.Namespace, *, table: str | None = None) -> None:
    """Prints the table (`result.table()` unless given) and the goals, and writes the JSON file if asked to."""
    print(table or result.table())
    targets = result.targets()
    if targets:
        print()
        print(targets_table(targets))
    if arguments.json:
        write_json(arguments.json, result.as_dict())
