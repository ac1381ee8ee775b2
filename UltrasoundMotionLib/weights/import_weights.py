"""Imports weights that were trained elsewhere: a checkpoint becomes a safetensors file with a card beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.input_files import read_json_file
from UltrasoundMotionLib.weights.checkpoint_file import read_tensors
from UltrasoundMotionLib.weights.model_card import ModelCard
from UltrasoundMotionLib.weights.model_file import LoadedWeights, save_weights
from UltrasoundMotionLib.weights.network import NetworkKind
from UltrasoundMotionLib.weights.official_checkpoint import OfficialCheckpoint

if TYPE_CHECKING:
    from torch import Tensor

UNKNOWN_LICENCE = "LicenseRef-unknown"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        path: of the file.
        tensors: by the names of our network where it is an official one, otherwise as in the file.
        kind: of the network; None where it is not an official checkpoint, which tells.
        configuration: of the network; None where it is not an official checkpoint.
    """

    path: Path
    tensors: dict[str, Tensor]
    kind: NetworkKind | None = None
    configuration: dict[str, Any] | None = None

    @property
    def official(self) -> OfficialCheckpoint | None:
        """The published checkpoints that it is one of; None where it is of no known project."""
        return None if self.kind is None else self.kind.official


def read_checkpoint(path: str | Path, wanted: Iterable[NetworkKind], known: Iterable[NetworkKind] = ()) -> Checkpoint:
    """Reads a checkpoint, and converts its tensors where it is a published one of a network that is wanted.

    Args:
        wanted: the kinds of network that will do.
        known: all kinds of network, to name the one that a checkpoint of another belongs to.

    Raises:
        InputError: see `read_tensors`; a checkpoint of another project, or of a version that is not known.
    """
    path, wanted = Path(path), tuple(wanted)
    published = [kind.official.description for kind in wanted if kind.official is not None]
    try:
        tensors = read_tensors(path)
    except InputError as error:
        if not published or not path.is_file():
            raise
        raise InputError(f"{error}; expected a checkpoint of {' or '.join(published)}") from error
    for kind in _recognising((*wanted, *known), tensors):
        official = kind.official
        if official is None:
            continue
        if kind not in wanted:
            names = [one.architecture if one.official is None else one.official.description for one in wanted]
            raise InputError(
                f"{path}: looks like a checkpoint of {official.description}, expected one of {' or '.join(names)}"
            )
        try:
            ours, configuration = official.convert(tensors)
        except (InputError, KeyError, ValueError, IndexError, TypeError, RuntimeError) as error:
            reason = f"no tensor {error}" if isinstance(error, KeyError) else str(error).splitlines()[0]
            raise _other_version(path, official, reason) from error
        return Checkpoint(path, ours, kind, configuration)
    return Checkpoint(path, tensors)


def _recognising(kinds: Iterable[NetworkKind], tensors: Mapping[str, Tensor]) -> list[NetworkKind]:
    """Returns the kinds that recognise a checkpoint, the one with the most marks first, otherwise in their order: a
    larger network of one family has the marks of the smaller one, and more.
    """
    found = [kind for kind in dict.fromkeys(kinds) if kind.official is not None and kind.official.recognises(tensors)]
    return sorted(found, key=lambda kind: -len(kind.official.marks if kind.official is not None else ()))


def _other_version(path: Path, official: OfficialCheckpoint, reason: object) -> InputError:
    return InputError(
        f"{path}: looks like a checkpoint of {official.description}, but of another version, or a part of it is "
        f"missing: {reason}"
    )


def import_weights(
    checkpoint: Checkpoint,
    kind: NetworkKind,
    folder: str | Path,
    *,
    name: str,
    configuration: Mapping[str, Any],
    task: str,
    licence: str | None = None,
    command: str = "",
) -> ModelCard:
    """Writes `folder/NAME.safetensors` and its card from a checkpoint, after loading it into the network.

    Args:
        checkpoint: see `read_checkpoint`.
        kind: of the network.
        configuration: of the network, as cards have it.
        task: one line on what it does, for the card.
        licence: SPDX identifier of the weights; None: that of the project that published them, otherwise unknown.
        command: that repeats the import, for the card.

    Raises:
        InputError: tensors of another network; the first that differs is named.
        OutputError: the files cannot be written.
    """
    path, official = checkpoint.path, checkpoint.official
    source = f"not known: imported from {path.name}"
    if official is not None:
        source = f"data of {official.paper}: imported from {path.name} of {official.description}"
    card = ModelCard(
        name=name,
        architecture=kind.architecture,
        configuration=dict(configuration),
        task=task,
        trained_on=(source,),
        command=command,
        seed=0,
        commit="",
        measured={},
        measured_with="not measured",
        limits="Imported weights, not measured by this project. Not for clinical use.",
        licence=licence or (UNKNOWN_LICENCE if official is None else official.licence),
    )
    try:
        network = kind.build(configuration)
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        raise InputError(f"{path}: the configuration is not {kind.architecture}'s ({error})") from error
    try:
        LoadedWeights(checkpoint.tensors, card).put_into(network)
    except InputError as error:
        if official is None:
            raise
        raise _other_version(path, official, error) from error
    Path(folder).mkdir(parents=True, exist_ok=True)
    return save_weights(folder, checkpoint.tensors, card)


def read_configuration(path: str | Path) -> dict[str, Any]:
    """Reads a network's configuration: a JSON file, or the card of other weights.

    Raises:
        InputError: no such file, or no JSON object.
    """
    values = read_json_file(Path(path))
    if not isinstance(values, dict):
        raise InputError(f"{path}: a configuration is a JSON object, got {type(values).__name__}")
    inner = values.get("configuration") if "architecture" in values else values
    return dict(inner) if isinstance(inner, dict) else values
