"""`models`: the trackers and registration methods, and the trained weights that some of them need."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from UltrasoundMotionLib.cli.models_import import add_import, network_kinds, weight_cards
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.pytorch import HOW_TO_INSTALL, has_pytorch

if TYPE_CHECKING:
    from UltrasoundMotionLib.registration.registry import RegistrationMethod
    from UltrasoundMotionLib.tracking.registry import TrackerEntry
    from UltrasoundMotionLib.weights import ModelCard


def fill_parser(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    parser.description = "Lists the values of `track --model` and `register --method`, and the trained weights."
    actions = parser.add_subparsers(dest="action", metavar="list|show|verify|import|clear", required=True)
    listing = actions.add_parser(
        "list", help="one line for each", description="One line for each, with licence and place of trained weights."
    )
    listing.set_defaults(run=_run_list)
    showing = actions.add_parser(
        "show", help="everything about one", description="Everything about one of them, the weights' card included."
    )
    showing.add_argument("name", metavar="NAME", help="of a tracker, a registration method or weights")
    showing.set_defaults(run=_run_show)
    verifying = actions.add_parser(
        "verify",
        help="check the installed weights",
        description="Compares each weights file with the checksum on its card, and loads it into its network.",
    )
    verifying.set_defaults(run=_run_verify)
    add_import(actions)
    clearing = actions.add_parser(
        "clear",
        help="remove downloaded weights; there are none",
        description="Weights come with the installation and nothing is downloaded, so there is nothing to remove;"
        " says so, and where imported weights are.",
    )
    clearing.set_defaults(run=_run_clear)


def _run_list(arguments: argparse.Namespace) -> int:
    """Prints one line for each tracker, registration method and file of weights."""
    from UltrasoundMotionLib.registration import available_methods
    from UltrasoundMotionLib.tracking.registry import TRACKERS
    from UltrasoundMotionLib.weights import installed_cards, read_card

    trackers = [("name", "kind", "weights", "licence", "summary")]
    trackers += [
        (entry.name, entry.kind, entry.weights or "none", _licence(entry), entry.summary)
        for entry in TRACKERS.all()
        if entry.installed
    ]
    missing = [("without weights", "how to add them")]
    without_pytorch = [] if has_pytorch() else [entry.name for entry in TRACKERS.all() if entry.needs_pytorch]
    missing += [
        (entry.name, entry.how_to_install)
        for entry in TRACKERS.all()
        if not entry.installed and entry.name not in without_pytorch
    ]
    methods = [("registration", "summary")]
    if has_pytorch():
        methods += [(method.name, method.summary) for method in available_methods() if method.installed]
        missing += [
            (method.name, method.how_to_install or f"{', '.join(method.weights)}: not in this installation")
            for method in available_methods()
            if not method.installed
        ]
    cards = [(path, read_card(path)) for path in installed_cards()]
    weights = [
        ("weights", "licence", "file", "task"),
        *((card.name, card.licence, str(path.with_suffix(".safetensors")), card.task) for path, card in cards),
    ]
    tables: list[Sequence[Sequence[str]]] = [trackers, missing, methods, weights]
    print("\n\n".join(_table(rows) for rows in tables if len(rows) > 1))
    if without_pytorch:
        print(
            f"\nPyTorch is not installed; it adds the trackers {', '.join(without_pytorch)}, and registration"
            f" ({', '.join(method.name for method in available_methods())}): {HOW_TO_INSTALL}"
        )
    return 0


def _run_show(arguments: argparse.Namespace) -> int:
    """Prints one entry, and its card when it has weights.

    Raises:
        InputError: there is nothing of that name.
    """
    from UltrasoundMotionLib.registration.registry import METHODS
    from UltrasoundMotionLib.tracking.registry import TRACKERS

    name = METHODS.present_name(arguments.name)
    trackers = {entry.name: entry for entry in TRACKERS.all()}
    methods = {method.name: method for method in METHODS.all()}
    cards = {card.name: card for card in weight_cards()}
    if name in trackers:
        _print_tracker(trackers[name])
    elif name in methods:
        _print_method(methods[name], cards)
    elif name in cards:
        _print_card(cards[name])
    else:
        known = ", ".join(dict.fromkeys([*trackers, *methods, *cards]))
        raise InputError(
            f"there is no tracker, registration method or file of weights named {name}; choose one of {known}"
        )
    return 0


def _run_verify(arguments: argparse.Namespace) -> int:
    """Checks every card's weights and loads them; raises InputError at the first that is not as it should be."""
    from UltrasoundMotionLib.tracking.registry import available_trackers
    from UltrasoundMotionLib.weights import check_weights, installed_cards, load_network

    kinds = {kind.architecture: kind for kind in network_kinds()}
    cards = installed_cards()
    for path in cards:
        card = check_weights(path)
        size = path.with_suffix(".safetensors").stat().st_size / 1e6
        print(f"{card.name}: checksum as on its card ({card.sha256[:12]}..., {size:.1f} MB)")
        if card.architecture not in kinds:
            raise InputError(f"{path}: no tracker or method of this installation uses a {card.architecture}")
        load_network(path, kinds[card.architecture])
        print(f"{card.name}: loads into {card.architecture}")
    for entry in available_trackers():
        if entry.weights is not None:
            entry.make("cpu")
            print(f"{entry.name}: loads {entry.weights}")
    if not cards:
        print("no weights are installed; the trackers listed by `models list` need none")
    return 0


def _run_clear(arguments: argparse.Namespace) -> int:
    """Prints that nothing is downloaded, and where imported weights are."""
    from UltrasoundMotionLib.weights import user_models_folder

    print("nothing to clear: weights come with the installation, none are downloaded")
    if user_models_folder().is_dir():
        print(f"imported weights are in {user_models_folder()}; remove their files there")
    return 0


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns to the left, each as wide as its widest entry."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def _licence(entry: TrackerEntry) -> str:
    """The licence of a tracker: of its weights, or of this project's code where it has none."""
    from UltrasoundMotionLib.weights import find_card, read_card

    if entry.weights is None:
        return "Apache-2.0"
    if not entry.installed:
        official = None if entry.network is None else entry.network.official
        return "not known: its weights are not installed" if official is None else official.licence
    return read_card(find_card(entry.weights)).licence


def _print_tracker(entry: TrackerEntry) -> None:
    from UltrasoundMotionLib.weights import find_card, read_card

    print(f"name:     {entry.name}")
    print(f"kind:     {entry.kind}")
    print(f"summary:  {entry.summary}")
    if entry.use:
        print(f"good for: {entry.use}")
    print(f"weights:  {entry.weights or 'none'}")
    print(f"licence:  {_licence(entry)}")
    if not entry.installed:
        print(f"missing:  {entry.how_to_install}")
    print(f"use:      ultrasound-motion track INPUT --points P --out TRACKS.csv --model {entry.name}")
    if entry.weights is not None and entry.installed:
        _print_card(read_card(find_card(entry.weights)))


def _print_method(method: RegistrationMethod, cards: dict[str, ModelCard]) -> None:
    print(f"name:     {method.name}")
    print("kind:     registration")
    print(f"summary:  {method.summary}")
    if method.use:
        print(f"good for: {method.use}")
    print(f"weights:  {', '.join(method.weights) or 'none'}")
    if not method.installed and method.how_to_install:
        print(f"missing:  {method.how_to_install}")
    print(f"use:      ultrasound-motion register FIXED MOVING --out-displacement U.nrrd --method {method.name}")
    for name in method.weights:
        if name in cards:
            _print_card(cards[name])


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
