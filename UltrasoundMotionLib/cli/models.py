"""`models`: the trackers and registration methods, and the trained weights that some of them need."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.cli.output_files import check_no_input
from UltrasoundMotionLib.errors import InputError

if TYPE_CHECKING:
    from UltrasoundMotionLib.registration.registry import RegistrationMethod
    from UltrasoundMotionLib.tracking.registry import TrackerEntry
    from UltrasoundMotionLib.weights import ModelCard, NetworkKind


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
    _add_import(actions)
    clearing = actions.add_parser(
        "clear",
        help="remove downloaded weights; there are none",
        description="Weights come with the installation and nothing is downloaded, so there is nothing to remove;"
        " says so, and where imported weights are.",
    )
    clearing.set_defaults(run=_run_clear)


def _add_import(actions: argparse._SubParsersAction) -> None:
    importing = actions.add_parser(
        "import",
        help="make weights that were trained elsewhere usable by name",
        description="Reads a checkpoint (.safetensors, or a state dict of torch.save; no code is run), checks it"
        " against the network, and writes a safetensors file with a card. Nothing is downloaded.",
    )
    importing.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help=".safetensors, .pt or .pth")
    importing.add_argument(
        "--as", dest="model", metavar="NAME", required=True, help="the tracker or registration method it is for"
    )
    importing.add_argument("--name", metavar="WEIGHTS", help="name of the weights (default: the file's)")
    importing.add_argument(
        "--configuration",
        metavar="C.json",
        type=Path,
        help="the network's configuration, or the card of weights like these (default: that of the shipped weights)",
    )
    importing.add_argument("--licence", metavar="L", help="SPDX identifier of the weights' licence (default: unknown)")
    importing.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder for weights and card (default: the user's models folder, whose weights can be used by name)",
    )
    importing.set_defaults(run=_run_import)


def _run_list(arguments: argparse.Namespace) -> int:
    """Prints one line for each tracker, registration method and file of weights."""
    from UltrasoundMotionLib.registration import available_methods
    from UltrasoundMotionLib.tracking.registry import available_trackers
    from UltrasoundMotionLib.weights import installed_cards, read_card

    trackers = [("name", "kind", "weights", "licence", "summary")]
    trackers += [
        (entry.name, entry.kind, entry.weights or "none", _licence(entry), entry.summary)
        for entry in available_trackers()
    ]
    methods = [("registration", "summary"), *((method.name, method.summary) for method in available_methods())]
    cards = [(path, read_card(path)) for path in installed_cards()]
    weights = [
        ("weights", "licence", "file", "task"),
        *((card.name, card.licence, str(path.with_suffix(".safetensors")), card.task) for path, card in cards),
    ]
    tables: list[Sequence[Sequence[str]]] = [trackers, methods, weights]
    print("\n\n".join(_table(rows) for rows in tables if len(rows) > 1))
    return 0


def _run_show(arguments: argparse.Namespace) -> int:
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

    kinds = {kind.architecture: kind for kind in _network_kinds()}
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


def _run_import(arguments: argparse.Namespace) -> int:
    """Imports a checkpoint and prints where it is and how to use it.

    Raises:
        InputError: no such tracker or method, one without a network, a name that is taken, or see `import_weights`.
    """
    from UltrasoundMotionLib.weights import user_models_folder
    from UltrasoundMotionLib.weights.import_weights import UNKNOWN_LICENCE, import_weights

    kind, configuration, summary, use = _import_target(arguments)
    name = arguments.name or arguments.checkpoint.stem
    if name in {card.name for card in _cards()} and arguments.out is None:
        raise InputError(f"--name: weights named {name} are installed already; give another --name")
    folder = arguments.out or user_models_folder()
    for ending in ("safetensors", "json"):
        check_no_input("weights", folder / f"{name}.{ending}", (arguments.checkpoint,))
    words = [str(arguments.checkpoint), "--as", arguments.model]
    card = import_weights(
        arguments.checkpoint,
        kind,
        folder,
        name=name,
        configuration=configuration,
        task=summary,
        licence=arguments.licence or UNKNOWN_LICENCE,
        command=shlex.join(["ultrasound-motion", "models", "import", *words]),
    )
    weights = name if arguments.out is None else folder / f"{name}.safetensors"
    print(f"wrote {folder / name}.safetensors and its card (licence {card.licence})")
    if card.licence == UNKNOWN_LICENCE:
        print("note: licence unknown; ask whoever trained them what use is allowed, and give it by --licence")
    print(f"Use it: {use} --weights {weights}")
    return 0


def _run_clear(arguments: argparse.Namespace) -> int:
    """Prints that nothing is downloaded, and where imported weights are."""
    from UltrasoundMotionLib.weights import user_models_folder

    print("nothing to clear: weights come with the installation, none are downloaded")
    if user_models_folder().is_dir():
        print(f"imported weights are in {user_models_folder()}; remove their files there")
    return 0


def _import_target(arguments: argparse.Namespace) -> tuple[NetworkKind, dict[str, Any], str, str]:
    """The kind of network to import into, its configuration, the card's task, and the command that uses it."""
    from UltrasoundMotionLib.registration import available_methods
    from UltrasoundMotionLib.tracking.registry import TRACKERS
    from UltrasoundMotionLib.weights import installed_cards, kind_of_card, read_card
    from UltrasoundMotionLib.weights.import_weights import read_configuration

    trackers = {entry.name: entry for entry in TRACKERS.all()}
    methods = {method.name: method for method in available_methods()}
    entry: Any = trackers.get(arguments.model) or methods.get(arguments.model)
    if entry is None:
        known = ", ".join([*trackers, *methods])
        raise InputError(f"--as: there is no tracker or registration method named {arguments.model}; choose of {known}")
    if not entry.networks:
        raise InputError(f"--as: {entry.name} needs no weights")
    usual = (entry.weights,) if isinstance(entry.weights, str) else tuple(entry.weights or ())
    cards = [read_card(path) for path in installed_cards() if path.stem in usual]
    if arguments.configuration is not None:
        configuration = read_configuration(arguments.configuration)
        given = read_card(arguments.configuration) if _is_card(arguments.configuration) else None
        kind = entry.networks[0] if given is None else kind_of_card(given, entry.networks)
    elif cards:
        kind, configuration = kind_of_card(cards[0], entry.networks), cards[0].configuration
    else:
        raise InputError(
            f"--configuration: {entry.name} has no installed weights to take the network's configuration from"
        )
    verb = "track INPUT --model" if entry.name in trackers else "register FIXED MOVING --method"
    return kind, dict(configuration), entry.summary, f"ultrasound-motion {verb} {entry.name} ..."


def _is_card(path: Path) -> bool:
    from UltrasoundMotionLib.weights import read_card

    try:
        read_card(path)
    except InputError:
        return False
    return True


def _network_kinds() -> tuple[NetworkKind, ...]:
    """Every kind of network that a tracker or method uses."""
    from UltrasoundMotionLib.registration import available_methods
    from UltrasoundMotionLib.tracking.registry import TRACKERS

    entries = (*TRACKERS.all(), *available_methods())
    return tuple(dict.fromkeys(kind for entry in entries for kind in entry.networks))


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns to the left, each as wide as its widest entry."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def _cards() -> list[ModelCard]:
    from UltrasoundMotionLib.weights import installed_cards, read_card

    return [read_card(path) for path in installed_cards()]


def _licence(entry: TrackerEntry) -> str:
    """The licence of a tracker: of its weights, or of this project's code where it has none."""
    from UltrasoundMotionLib.weights import find_card, read_card

    return "Apache-2.0" if entry.weights is None else read_card(find_card(entry.weights)).licence


def _print_tracker(entry: TrackerEntry) -> None:
    from UltrasoundMotionLib.weights import find_card, read_card

    print(f"name:     {entry.name}")
    print(f"kind:     {entry.kind}")
    print(f"summary:  {entry.summary}")
    if entry.use:
        print(f"good for: {entry.use}")
    print(f"weights:  {entry.weights or 'none'}")
    print(f"licence:  {_licence(entry)}")
    print(f"use:      ultrasound-motion track INPUT --points P --out TRACKS.csv --model {entry.name}")
    if entry.weights is not None:
        _print_card(read_card(find_card(entry.weights)))


def _print_method(method: RegistrationMethod, cards: dict[str, ModelCard]) -> None:
    print(f"name:     {method.name}")
    print("kind:     registration")
    print(f"summary:  {method.summary}")
    if method.use:
        print(f"good for: {method.use}")
    print(f"weights:  {', '.join(method.weights) or 'none'}")
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
