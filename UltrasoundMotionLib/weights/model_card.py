"""The card of trained weights: what they are for, what went into them, what they were measured to give, and their
checksum.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from UltrasoundMotionLib.atomic_output import write_text_file
from UltrasoundMotionLib.errors import InputError


@dataclass(frozen=True)
class ModelCard:
    """Card of trained weights: the JSON file `NAME.json` beside `NAME.safetensors`.

    Attributes:
        name: of the files.
        architecture: class of the network, "SpeckNet".
        configuration: its configuration's fields, from which the network is built.
        task: what it does, in one line.
        trained_on: what went into it, one entry for each source.
        command: the command that trained it.
        seed: its seed.
        commit: of this repository, when it was trained.
        measured: held-out figures, name and value; the unit is in the name.
        measured_with: the command that gives them.
        limits: what it was not trained or measured for.
        licence: SPDX identifier.
        sha256: of the safetensors file, lower case; empty until the weights are saved.
    """

    name: str
    architecture: str
    configuration: dict[str, object]
    task: str
    trained_on: tuple[str, ...]
    command: str
    seed: int
    commit: str
    measured: dict[str, float]
    measured_with: str
    limits: str
    licence: str = "Apache-2.0"
    sha256: str = field(default="")


def write_card(path: str | Path, card: ModelCard) -> None:
    """Writes the card as JSON.

    Raises:
        OutputError: it cannot be written.
    """
    write_text_file(path, json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n")


def read_card(path: str | Path) -> ModelCard:
    """Reads a card.

    Raises:
        InputError: no such file, no JSON, a field that is missing, unknown or of another kind, no checksum.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such model card") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no readable model card ({str(error).splitlines()[0]})") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: a model card is a JSON object, got {type(values).__name__}")
    kinds = {entry.name: str(entry.type).split("[", maxsplit=1)[0] for entry in fields(ModelCard)}
    for name, kind in kinds.items():
        if name not in values:
            raise InputError(f"{path}: the model card lacks {name}")
        wanted = {"str": str, "int": int, "dict": dict, "tuple": list}[kind]
        if not isinstance(values[name], wanted):
            raise InputError(f"{path}: {name} of the model card must be a {wanted.__name__}, got {values[name]!r}")
    unknown = sorted(set(values) - set(kinds))
    if unknown:
        raise InputError(f"{path}: the model card has no field {unknown[0]}")
    if not re.fullmatch(r"[0-9a-f]{64}", values["sha256"]):
        raise InputError(f"{path}: sha256 of the model card must be 64 hexadecimal digits, got {values['sha256']!r}")
    return ModelCard(**{**values, "trained_on": tuple(values["trained_on"])})
