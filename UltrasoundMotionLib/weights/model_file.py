"""Weights as safetensors files, never loaded unless their checksum is the one on their card."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from UltrasoundMotionLib.atomic_output import atomic_output
from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.weights.int8_storage import STORES, from_int8, to_int8
from UltrasoundMotionLib.weights.model_card import ModelCard, read_card, write_card

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class LoadedWeights:
    """Tensors by name, and their card."""

    tensors: dict[str, Tensor]
    card: ModelCard

    def put_into(self, network: nn.Module) -> None:
        """Copies the tensors into a network.

        Raises:
            InputError: names or shapes are those of another network.
        """
        wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        held = {name: tuple(value.shape) for name, value in self.tensors.items()}
        for name in sorted(wanted.keys() | held.keys()):
            if wanted.get(name) != held.get(name):
                raise InputError(
                    f"weights {self.card.name}: {name} is {held.get(name, 'missing')}, the network "
                    f"{self.card.architecture} of its card needs {wanted.get(name, 'no such tensor')}"
                )
        network.load_state_dict(self.tensors)


def save_weights(
    folder: str | Path, tensors: Mapping[str, Tensor], card: ModelCard, *, store: str = "float32"
) -> ModelCard:
    """Writes `folder/NAME.safetensors` and `folder/NAME.json`, and returns the card with its checksum filled in.

    Args:
        store: "float32" writes the tensors as they are, "int8" in a quarter of the room (see `int8_storage`); files of
            both are read alike.

    Raises:
        InputError: an unknown form.
        OutputError: they cannot be written.
    """
    from safetensors.torch import save_file

    if store not in STORES:
        raise InputError(f"store must be one of {', '.join(STORES)}, got {store!r}")
    if store == "int8":
        tensors = to_int8(tensors)
    path = Path(folder) / f"{card.name}.safetensors"
    with atomic_output(path) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary)
        card = replace(card, sha256=_sha256(temporary))
    write_card(path.with_suffix(".json"), card)
    return card


def check_weights(card_path: str | Path) -> ModelCard:
    """Reads the card, compares the checksum of the weights beside it, and returns the card.

    Raises:
        InputError: see `read_card`; no weights beside it; weights of another checksum, which are damaged or of another
            version.
    """
    return _checked_bytes(Path(card_path))[0]


def load_weights(card_path: str | Path) -> LoadedWeights:
    """Loads the weights beside a card, checked; those that the file keeps as int8 become float32.

    Raises:
        InputError: see `check_weights` and `from_int8`; or the file is no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    card, content = _checked_bytes(Path(card_path))
    try:
        return LoadedWeights(from_int8(load(content), _beside(card_path)), card)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{_beside(card_path)}: no safetensors file ({str(error).splitlines()[0]})") from error


def file_times(card_path: Path) -> tuple[int, int]:
    """When card and weights were written, in ns, 0 for one that is missing: what is kept of a file is read again when
    one of them changes.
    """
    card, weights = (file.stat().st_mtime_ns if file.is_file() else 0 for file in (card_path, _beside(card_path)))
    return card, weights


def _checked_bytes(card_path: Path) -> tuple[ModelCard, bytes]:
    card, path = read_card(card_path), _beside(card_path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: the weights of {card.name} are missing; install the package again") from error
    found = hashlib.sha256(content).hexdigest()
    if found != card.sha256:
        raise InputError(
            f"{path}: damaged, or not the weights of its card (sha256 {found[:12]}..., on the "
            f"card {card.sha256[:12]}...); install the package again"
        )
    return card, content


def _beside(card_path: str | Path) -> Path:
    return Path(card_path).with_suffix(".safetensors")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
