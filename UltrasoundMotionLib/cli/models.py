"""`models`: the trackers there are."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from UltrasoundMotionLib.tracks.tracker_registry import TrackerEntry


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser("models", help="list the trackers and say what each is", description="The trackers that --model takes.")
    actions = parser.add_subparsers(dest="action", metavar="list|show", required=True)
    listing = actions.add_parser("list", help="one line for each", description="One line for each tracker.")
    listing.set_defaults(run=run, name=None)
    showing = actions.add_parser("show", help="everything about one", description="Everything about one tracker.")
    showing.add_argument("name", metavar="NAME")
    showing.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Prints the list, or one entry."""
    from UltrasoundMotionLib.tracks.tracker_registry import available_trackers, find_tracker

    if arguments.name is None:
        entries = available_trackers()
        width = max(len(entry.name) for entry in entries)
        print(f"{'name':<{width}}  {'kind':<9}  {'weights':<8}  {'licence':<10}  summary")
        for entry in entries:
            kind, weights, licence = entry.kind, _weights(entry), _licence(entry)
            print(f"{entry.name:<{width}}  {kind:<9}  {weights:<8}  {licence:<10}  {entry.summary}")
        return 0
    entry = find_tracker(arguments.name)
    print(f"name:     {entry.name}")
    print(f"kind:     {entry.kind}")
    print(f"summary:  {entry.summary}")
    print(f"weights:  {_weights(entry)}")
    print(f"licence:  {_licence(entry)}")
    print(f"use:      ultrasound-motion track INPUT --points P --out TRACKS.csv --model {entry.name}")
    return 0


def _weights(entry: TrackerEntry) -> str:
    return "needed" if entry.needs_weights else "none"


def _licence(entry: TrackerEntry) -> str:
    """A tracker without weights is code of this project; trained weights carry a licence of their own on their card."""
    return "see card" if entry.needs_weights else "Apache-2.0"
