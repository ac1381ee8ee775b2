"""`models`: the trackers and registration methods there are, and the trained weights that some of them need."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.errors import InputError

if TYPE_CHECKING:
    from UltrasoundMotionLib.tracking.registry import TrackerEntry
    from UltrasoundMotionLib.weights import ModelCard


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Adds the verb."""
    parser = subparsers.add_parser(
        "models",
        help="list, show and verify the trackers, the registration methods and their weights",
        description="What `track --model` and `register --method` take, and the trained weights that come with them.",
    )
    actions = parser.add_subparsers(dest="action", metavar="list|show|verify|clear", required=True)
    listing = actions.add_parser(
        "list", help="one line for each", description="One line for each, with the licence of what was trained."
    )
    listing.set_defaults(run=run_list)
    showing = actions.add_parser(
        "show", help="everything about one", description="Everything about one of them, the weights' card included."
    )
    showing.add_argument("name", metavar="NAME", help="of a tracker, a registration method or weights")
    showing.set_defaults(run=run_show)
    verifying = actions.add_parser(
        "verify",
        help="check the installed weights",
        description="Compares each weights file with the checksum on its card, and loads it into its network.",
    )
    verifying.set_defaults(run=run_verify)
    clearing = actions.add_parser(
        "clear",
        help="remove downloaded weights; there are none",
        description="Weights come with the installation and nothing is downloaded or kept elsewhere, so there is nothing to remove; says so.",
    )
    clearing.set_defaults(run=run_clear)


def run_list(arguments: argparse.Namespace) -> int:
    """Prints one line for each tracker, registration method and file of weights."""
    from UltrasoundMotionLib.registration import available_methods
    from UltrasoundMotionLib.tracking.registry import available_trackers

    trackers = [("name", "kind", "weights", "licence", "summary")]
    trackers += [
        (entry.name, entry.kind, entry.weights or "none", _licence(entry), entry.summary)
        for entry in available_trackers()
    ]
    methods = [("registration", "summary"), *((method.name, method.summary) for method in available_methods())]
    weights = [("weights", "licence", "what they do"), *((card.name, card.licence, card.task) for card in _cards())]
    print("\n\n".join(_table(rows) for rows in (trackers, methods, weights) if len(rows) > 1))
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Prints one entry, and its card when it has weights.

    Raises:
        InputError: there is nothing of that name.
    """
    from UltrasoundMotionLib.registration import available_methods
    from UltrasoundMotionLib.tracking.registry import available_trackers

    name = arguments.name
    trackers = {entry.name: entry for entry in available_trackers()}
    methods = {method.name: method for method in available_methods()}
    cards = {card.name: card for card in _cards()}
    if name in trackers:
        entry = trackers[name]
        print(f"name:     {entry.name}")
        print(f"kind:     {entry.kind}")
        print(f"summary:  {entry.summary}")
        print(f"weights:  {entry.weights or 'none'}")
        print(f"licence:  {_licence(entry)}")
        print(f"use:      ultrasound-motion track INPUT --points P --out TRACKS.csv --model {entry.name}")
        if entry.weights is not None:
            _print_card(_card(entry.weights))
    elif name in methods:
        print(f"name:     {name}")
        print("kind:     registration")
        print(f"summary:  {methods[name].summary}")
        print(f"use:      ultrasound-motion register FIXED MOVING --out-displacement U.nrrd --method {name}")
    elif name in cards:
        _print_card(cards[name])
    else:
        known = dict.fromkeys([*trackers, *methods, *cards])
        raise InputError(
            f"there is no tracker, registration method or file of weights named {name}; choose one of {', '.join(known)}"
        )
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    """Checks every card's weights; raises InputError at the first that is not as it should be."""
    from UltrasoundMotionLib.tracking.registry import available_trackers
    from UltrasoundMotionLib.weights import check_weights, shipped_cards

    cards = shipped_cards()
    for path in cards:
        card = check_weights(path)
        size = path.with_suffix(".safetensors").stat().st_size / 1e6
        print(f"{card.name}: checksum as on its card ({card.sha256[:12]}..., {size:.1f} MB)")
    for entry in available_trackers():
        if entry.weights is not None:
            entry.make("cpu")
            print(f"{entry.name}: loads {entry.weights}")
    for path in cards:
        if loads := _registration_network(path):
            print(f"{path.stem}: loads into {loads}")
    if not cards:
        print("no weights are installed; the trackers listed by `models list` need none")
    return 0


def run_clear(arguments: argparse.Namespace) -> int:
    """Says that nothing is kept outside the installation."""
    print("nothing to clear: weights come with the installation, none are downloaded")
    return 0


def _registration_network(card_path: Path) -> str:
    """Builds the registration network that a card describes, puts its weights into it, and names it; empty where the
    card is a tracker's.
    """
    from UltrasoundMotionLib.registration import available_methods
    from UltrasoundMotionLib.weights import load_network, read_card

    kinds = {kind.architecture: kind for method in available_methods() for kind in method.networks}
    architecture = read_card(card_path).architecture
    if architecture not in kinds:
        return ""
    load_network(card_path, kinds[architecture])
    return architecture


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns to the left, each as wide as its widest entry."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def _cards() -> list[ModelCard]:
    from UltrasoundMotionLib.weights import read_card, shipped_cards

    return [read_card(path) for path in shipped_cards()]


def _card(weights: str) -> ModelCard:
    from UltrasoundMotionLib.weights import find_card, read_card

    return read_card(find_card(weights))


def _licence(entry: TrackerEntry) -> str:
    """A tracker without weights is code of this project; trained weights carry a licence of their own on their card."""
    return "Apache-2.0" if entry.weights is None else _card(entry.weights).licence


def _print_card(card: ModelCard) -> None:
    print(f"\nweights {card.name} ({card.architecture}), sha256 {card.sha256}")
    print(f"  licence:    {card.licence}")
    print(f"  task:       {card.task}")
    for number, source in enumerate(card.trained_on):
        print(f"  {'trained on:' if number == 0 else '':<11} {source}")
    print(f"  command:    {card.command}")
    print(f"  seed:       {card.seed}, at commit {card.commit}")
    for number, (name, value) in enumerate(card.measured.items()):
        print(f"  {'measured:' if number == 0 else '':<11} {name} {value:g}")
    print(f"  repeat:     {card.measured_with}")
    print(f"  limits:     {card.limits}")
