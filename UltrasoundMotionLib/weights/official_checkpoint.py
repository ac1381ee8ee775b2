"""Published checkpoints of a network: their origin and terms, and how their tensors become those of our network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from UltrasoundMotionLib.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

Converted = tuple[dict[str, "Tensor"], dict[str, Any]]
"""Tensors by the names of our network, and the configuration from which it is built."""


@dataclass(frozen=True)
class OfficialCheckpoint:
    """The checkpoints that a project publishes for a network.

    Attributes:
        project: its name, "EchoTracker".
        source: address of its repository.
        paper: authors, title, venue and year.
        licence: SPDX identifier of the published weights.
        marks: names of tensors that every such checkpoint has, and no checkpoint of another known project; one name of
            a tensor may also be given as the beginning of names, ending with a dot.
        convert: takes tensors by their official names and gives those of our network and its configuration; raises
            InputError for a version that it does not know.
        files: names of the published files that it reads.
    """

    project: str
    source: str
    paper: str
    licence: str
    marks: tuple[str, ...]
    convert: Callable[[Mapping[str, Tensor]], Converted]
    files: tuple[str, ...] = ()

    def recognises(self, names: Iterable[str]) -> bool:
        """Returns True where tensors of these names are those of such a checkpoint."""
        held = set(names)
        return all(
            any(name.startswith(mark) for name in held) if mark.endswith(".") else mark in held for mark in self.marks
        )

    @property
    def description(self) -> str:
        """The project and its address, and the files' names where they are known, for messages."""
        return f"{self.project} ({', '.join((*self.files, self.source))})"


def renamed(
    tensors: Mapping[str, Tensor], rules: Mapping[str, str], *, unused: Iterable[str] = ()
) -> dict[str, Tensor]:
    """Returns tensors under other names.

    Args:
        tensors: by their official names.
        rules: regular expressions that match a whole name, and the new name of each, which may refer to groups
            (`\\1`); the first that matches counts.
        unused: regular expressions of whole names that our network has no use for, such as constants that it computes.

    Raises:
        InputError: a name that no rule knows, or two that become one.
    """
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if any(re.fullmatch(pattern, name) for pattern in unused):
            continue
        new = next((match.expand(to) for pattern, to in rules.items() if (match := re.fullmatch(pattern, name))), None)
        if new is None:
            raise InputError(f"tensor {name} is not one of the network's")
        if new in found:
            raise InputError(f"tensor {name} stands for {new}, which is there already")
        found[new] = value
    return found
