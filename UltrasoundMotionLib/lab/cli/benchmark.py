"""`benchmark`: every figure that the project claims, printed by a command."""

from __future__ import annotations

import argparse
import pkgutil
from importlib import import_module

from UltrasoundMotionLib.lab import benchmarks


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the benchmarks: the modules of `lab/benchmarks` that have `add_parser(subparsers)`.

    They are all imported, so they import torch and other slow packages where they need them.
    """
    commands = parser.add_subparsers(dest="benchmark", metavar="BENCHMARK", required=True)
    for found in pkgutil.iter_modules(benchmarks.__path__, f"{benchmarks.__name__}."):
        module = import_module(found.name)
        if hasattr(module, "add_parser"):
            module.add_parser(commands)
