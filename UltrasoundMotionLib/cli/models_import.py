"""`models import`: weights that were trained elsewhere become usable by name."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.cli.output_files import check_no_input
from UltrasoundMotionLib.errors import InputError

if TYPE_CHECKING:
    from UltrasoundMotionLib.weights import ModelCard, NetworkKind
    from UltrasoundMotionLib.weights.import_weights import Checkpoint


def add_import(actions: argparse._SubParsersAction) -> None:
    """Adds the action and its arguments to those of `models`."""
    importing = actions.add_parser(
        "import",
        help="make weights that were trained elsewhere usable by name",
        description="Reads a checkpoint (.safetensors, a state dict of torch.save, or tensors as .npz; no code is run),"
        " checks it against the network, and writes a safetensors file with a card. The checkpoints that the networks'"
        " authors publish are known, with their licence. Nothing is downloaded.",
    )
    importing.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help=".safetensors, .pt, .pth or .npz")
    importing.add_argument(
        "--as", dest="model", metavar="NAME", required=True, help="the tracker or registration method it is for"
    )
    importing.add_argument(
        "--name",
        metavar="WEIGHTS",
        help="name of the weights (default: the file's; of a published checkpoint, the one that the tracker takes)",
    )
    importing.add_argument(
        "--configuration",
        metavar="C.json",
        type=Path,
        help="the network's configuration, or the card of weights like these (default: that of the shipped weights;"
        " a published checkpoint tells its own)",
    )
    importing.add_argument(
        "--licence",
        metavar="L",
        help="SPDX identifier of the weights' licence (default: that of published weights, otherwise unknown)",
    )
    importing.add_argument(
        "--out",
        metavar="DIR",
        type=Path,
        help="folder for weights and card (default: the user's models folder, whose weights can be used by name)",
    )
    importing.set_defaults(run=_run_import)


def _run_import(arguments: argparse.Namespace) -> int:
    """Imports a checkpoint and prints where it is and how to use it.

    Raises:
        InputError: no such tracker or method, one without a network, a name that is taken, or see `import_weights`.
    """
    from UltrasoundMotionLib.weights import user_models_folder
    from UltrasoundMotionLib.weights.import_weights import UNKNOWN_LICENCE, import_weights, read_checkpoint
    from UltrasoundMotionLib.weights.licence_terms import use_allowed

    entry, use = _import_target(arguments.model)
    checkpoint = read_checkpoint(arguments.checkpoint, entry.networks, network_kinds())
    kind, configuration = _kind_and_configuration(entry, checkpoint, arguments.configuration)
    official = checkpoint.official
    name = arguments.name or arguments.checkpoint.stem
    if official is not None and arguments.name is None and isinstance(entry.weights, str):
        name = entry.weights
    if name in {card.name for card in weight_cards()} and arguments.out is None:
        raise InputError(f"--name: weights named {name} are installed already; give another --name")
    folder = arguments.out or user_models_folder()
    for ending in ("safetensors", "json"):
        check_no_input("weights", folder / f"{name}.{ending}", (arguments.checkpoint,))
    words = [str(arguments.checkpoint), "--as", arguments.model]
    card = import_weights(
        checkpoint,
        kind,
        folder,
        name=name,
        configuration=configuration,
        task=entry.summary,
        licence=arguments.licence,
        command=shlex.join(["ultrasound-motion", "models", "import", *words]),
    )
    print(f"wrote {folder / name}.safetensors and its card (licence {card.licence})")
    if official is not None:
        print(f"source: {official.description}; {official.paper}")
    if card.licence == UNKNOWN_LICENCE:
        print("note: licence unknown; ask whoever trained them what use is allowed, and give it by --licence")
    else:
        print(f"licence {card.licence}: {use_allowed(card.licence)}")
    if arguments.out is not None:
        use += f" --weights {folder / name}.safetensors"
    elif name != entry.weights:
        use += f" --weights {name}"
    print(f"Use it: {use}")
    return 0


def _import_target(model: str) -> tuple[Any, str]:
    """Returns the tracker or method to import for, and the command that uses it.

    Raises:
        InputError: there is none of that name, or it has no network.
    """
    from UltrasoundMotionLib.registration.registry import METHODS
    from UltrasoundMotionLib.tracking.registry import TRACKERS

    trackers = {entry.name: entry for entry in TRACKERS.all()}
    methods = {method.name: method for method in METHODS.all()}
    entry: Any = trackers.get(model) or methods.get(METHODS.present_name(model))
    if entry is None:
        known = ", ".join([*trackers, *methods])
        raise InputError(f"--as: there is no tracker or registration method named {model}; choose of {known}")
    if not entry.networks:
        raise InputError(f"--as: {entry.name} needs no weights")
    verb = "track INPUT --model" if entry.name in trackers else "register FIXED MOVING --method"
    return entry, f"ultrasound-motion {verb} {entry.name} ..."


def _kind_and_configuration(
    entry: Any, checkpoint: Checkpoint, given: Path | None
) -> tuple[NetworkKind, dict[str, Any]]:
    """Returns the kind of network that a checkpoint is for and its configuration: the checkpoint's own where it is a
    published one, otherwise the one given, or that of the installed weights.

    Raises:
        InputError: none of them is known.
    """
    from UltrasoundMotionLib.weights import installed_cards, kind_of_card, read_card
    from UltrasoundMotionLib.weights.import_weights import read_configuration

    if checkpoint.kind is not None and checkpoint.configuration is not None:
        return checkpoint.kind, checkpoint.configuration
    if given is not None:
        configuration = read_configuration(given)
        card = read_card(given) if _is_card(given) else None
        return entry.networks[0] if card is None else kind_of_card(card, entry.networks), configuration
    usual = (entry.weights,) if isinstance(entry.weights, str) else tuple(entry.weights or ())
    cards = [read_card(path) for path in installed_cards() if path.stem in usual]
    if cards:
        return kind_of_card(cards[0], entry.networks), dict(cards[0].configuration)
    published = [kind.official for kind in entry.networks if kind.official is not None]
    if published:
        raise InputError(
            f"{checkpoint.path}: is no checkpoint of {' or '.join(one.description for one in published)}: it has no "
            f"tensor {published[0].marks[0]}; for weights that were trained here, give their card by --configuration"
        )
    raise InputError(f"--configuration: {entry.name} has no installed weights to take the network's configuration from")


def _is_card(path: Path) -> bool:
    from UltrasoundMotionLib.weights import read_card

    try:
        read_card(path)
    except InputError:
        return False
    return True


def network_kinds() -> tuple[NetworkKind, ...]:
    """Every kind of network that a tracker or method uses."""
    from UltrasoundMotionLib.registration import available_methods
    from UltrasoundMotionLib.tracking.registry import TRACKERS

    entries = (*TRACKERS.all(), *available_methods())
    return tuple(dict.fromkeys(kind for entry in entries for kind in entry.networks))


def weight_cards() -> list[ModelCard]:
    """Returns the cards of all installed weights."""
    from UltrasoundMotionLib.weights import installed_cards, read_card

    return [read_card(path) for path in installed_cards()]
