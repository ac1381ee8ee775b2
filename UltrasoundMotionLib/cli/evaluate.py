"""`evaluate`: the papers' tables from files on disk."""

from __future__ import annotations

import argparse
import importlib

EVALUATIONS = ("evaluate_tracks", "evaluate_clust", "evaluate_registration", "evaluate_gls")
"""Modules of this folder, one for each kind of result that can be evaluated, each with `add_parser` and `run` as a verb
has.
"""


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the kinds of results that can be evaluated."""
    kinds = parser.add_subparsers(dest="result", metavar="RESULT", required=True)
    for module in EVALUATIONS:
        importlib.import_module(f"UltrasoundMotionLib.cli.{module}").add_parser(kinds)
