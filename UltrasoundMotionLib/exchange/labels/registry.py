"""The formats of labels by name; each is one file in `exchange/labels/formats`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.labels import ClipReference, Labels
from UltrasoundMotionLib.input_files import check_regular_file, read_json_file
from UltrasoundMotionLib.registry import Registry

_HEAD_BYTES = 2**16


@dataclass(frozen=True)
class LabelFile:
    """A file or folder of which the format is asked."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name in lower case."""
        return self.path.name.lower()

    @cached_property
    def first_line(self) -> str:
        """The first line of a text file, empty for others."""
        if self.path.is_dir():
            return ""
        with self.path.open("rb") as stream:
            return stream.read(_HEAD_BYTES).split(b"\n")[0].decode("utf-8-sig", "replace").strip()

    @cached_property
    def head(self) -> str:
        """The beginning of a file as text."""
        if self.path.is_dir():
            return ""
        with self.path.open("rb") as stream:
            return stream.read(_HEAD_BYTES).decode("utf-8-sig", "replace")

    @cached_property
    def json_keys(self) -> frozenset[str]:
        """The names in a JSON file's outermost object; empty for other files."""
        if not self.name.endswith(".json"):
            return frozenset()
        content = read_json_file(self.path)
        return frozenset(content) if isinstance(content, dict) else frozenset()


class LabelFormat(ABC):
    """A format of labelled points.

    Attributes:
        name: as `--from` and `--to` take it.
        summary: one line for lists.
        origin: where its coordinates count from, for the table in the docs.
        endings: of files that are written; "" for a folder.
        keeps: what it holds besides positions: "confidence", "visible", "names", "groups", "times", "tracker".
        one_frame: whether it holds the points of a single frame, and does not say of which.
        frame_of_single: whether a file with a single frame does not say which it is.
        rank: orders lists, and the order in which formats are asked whether a file is theirs.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    origin: ClassVar[str]
    endings: ClassVar[tuple[str, ...]]
    keeps: ClassVar[frozenset[str]] = frozenset()
    one_frame: ClassVar[bool] = False
    frame_of_single: ClassVar[bool] = False
    rank: ClassVar[int] = 100

    @abstractmethod
    def recognises(self, file: LabelFile) -> bool:
        """Returns True for a file of this format, by its content."""

    def takes_name(self, name: str) -> bool:
        """Returns True if a file of this name (in lower case) to write is of this format when nothing else is said."""
        return name.endswith(self.endings)

    @abstractmethod
    def read(self, path: Path, clip: ClipReference | None, *, frame: int | None = None) -> Labels:
        """Reads a file.

        Args:
            clip: that the labels belong to, or None.
            frame: of the points, for formats with one frame.

        Raises:
            InputError: naming the file, the place in it and the value.
        """

    @abstractmethod
    def write(self, path: Path, labels: Labels, clip: ClipReference | None) -> list[str]:
        """Writes a file atomically, and returns what it could not hold, one line each.

        Raises:
            InputError: labels that it cannot hold at all; nothing is written.
            OutputError: the file cannot be written.
        """


_FORMATS: Registry[LabelFormat] = Registry("format of labels", "UltrasoundMotionLib.exchange.labels.formats")


def label_format(kind: type[LabelFormat]) -> type[LabelFormat]:
    """Registers a format; decorates its class."""
    _FORMATS.add(kind())
    return kind


def available_label_formats() -> tuple[LabelFormat, ...]:
    """Returns all formats."""
    return _FORMATS.all()


def find_label_format(name: str) -> LabelFormat:
    """Returns the format of a name.

    Raises:
        InputError: there is none; the message lists them.
    """
    return _FORMATS.find(name)


def recognise(path: Path) -> LabelFormat:
    """Returns the format of a file or folder, by its content.

    Raises:
        InputError: the file is missing or empty, or its content is of no format.
    """
    if not path.is_dir():
        check_regular_file(path)
    file = LabelFile(path)
    for one in available_label_formats():
        if one.recognises(file):
            return one
    names = ", ".join(one.name for one in available_label_formats())
    raise InputError(f"{path}: its content is of no format of labels ({names}); name one with --from")


def format_to_write(path: Path) -> LabelFormat:
    """Returns the format of a file to write, by its name.

    Raises:
        InputError: several formats have the ending, or none has.
    """
    name = path.name.lower()
    fitting = [one for one in available_label_formats() if one.takes_name(name)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(one.name for one in fitting or available_label_formats())
    raise InputError(f"{path}: its name does not say which format to write; name one with --to ({names})")


def members(value: Any, kind: type, path: Path, where: str) -> Any:
    """Returns a value of a JSON file that must be of a kind.

    Raises:
        InputError: it is of another.
    """
    if not isinstance(value, kind) or (kind in (int, float) and isinstance(value, bool)):
        shown = json.dumps(value)[:60] if value is not None else "nothing"
        names = {list: "a list", dict: "an object", str: "a text", int: "a whole number"}
        raise InputError(f"{path}: {where} must be {names[kind]}, got {shown}")
    return value
