"""The formats of motions by name; each is one file in `exchange/motions/formats`."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from UltrasoundMotionLib.errors import InputError, OutputError
from UltrasoundMotionLib.exchange.motions.motion import Motion, MotionContext
from UltrasoundMotionLib.input_files import check_regular_file
from UltrasoundMotionLib.registry import Registry

_HEAD_BYTES = 2**16
_NOTHING_GIVEN = MotionContext()
_POOR_INVERSE_MM = 0.1


@dataclass(frozen=True)
class MotionFile:
    """A file or folder of which the format is asked."""

    path: Path

    @property
    def name(self) -> str:
        """The file's name in lower case."""
        return self.path.name.lower()

    @cached_property
    def head(self) -> bytes:
        """The first bytes of a file, none for a folder."""
        if self.path.is_dir():
            return b""
        with self.path.open("rb") as stream:
            return stream.read(_HEAD_BYTES)


class MotionFormat(ABC):
    """A format of motions.

    Attributes:
        name: as `--from` and `--to` take it.
        summary: one line for lists: the program, and what it holds.
        convention: direction and units, for the table in the docs.
        endings: of files that are written; none where a format is only read.
        rank: orders lists, and the order in which formats are asked whether a file is theirs.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    convention: ClassVar[str]
    endings: ClassVar[tuple[str, ...]] = ()
    rank: ClassVar[int] = 100

    @abstractmethod
    def recognises(self, file: MotionFile) -> bool:
        """Returns True for a file of this format, by its name and content."""

    @property
    def by_default(self) -> tuple[str, ...]:
        """The endings of which this format is written when none is named."""
        return self.endings

    @abstractmethod
    def read(self, path: Path, context: MotionContext) -> Motion:
        """Reads a file.

        Raises:
            InputError: naming the file and the value, or what must be given.
        """

    def write(self, path: Path, motion: Motion, context: MotionContext) -> None:
        """Writes a file atomically.

        Raises:
            InputError: a motion that the format cannot hold, or something that must be given.
            OutputError: the file cannot be written, or the format is only read.
        """
        raise OutputError(f"{path}: {self.name} is only read; write {', '.join(_written_endings())}")


_FORMATS: Registry[MotionFormat] = Registry("format of motions", "UltrasoundMotionLib.exchange.motions.formats")


def motion_format(kind: type[MotionFormat]) -> type[MotionFormat]:
    """Registers a format; decorates its class."""
    _FORMATS.add(kind())
    return kind


def available_motion_formats() -> tuple[MotionFormat, ...]:
    """Returns all formats."""
    return _FORMATS.all()


def find_motion_format(name: str) -> MotionFormat:
    """Returns the format of a name.

    Raises:
        InputError: there is none; the message lists them.
    """
    return _FORMATS.find(name)


def recognised_motion_format(path: Path) -> MotionFormat | None:
    """Returns the format of a file or folder by its name and content; None where it is no motion that is known.

    Raises:
        InputError: the file is missing or empty.
    """
    if not path.is_dir():
        check_regular_file(path)
    file = MotionFile(path)
    return next((one for one in available_motion_formats() if one.recognises(file)), None)


def motion_format_to_write(path: Path) -> MotionFormat | None:
    """Returns the format of a file to write by its name; None where no format of motions has its ending."""
    name = path.name.lower()
    return next((one for one in available_motion_formats() if one.by_default and name.endswith(one.by_default)), None)


def read_motion(path: str | Path, *, form: str | None = None, context: MotionContext = _NOTHING_GIVEN) -> Motion:
    """Reads a motion of any format that is known.

    Args:
        form: name of the format; None: found by name and content.
        context: images, and what else the file does not say.

    Raises:
        InputError: naming the file and the value; a direction, grid or unit that is not known, with what to give.
    """
    path = Path(path)
    chosen = find_motion_format(form) if form else recognised_motion_format(path)
    if chosen is None:
        names = ", ".join(one.name for one in available_motion_formats())
        raise InputError(f"{path}: its content is of no format of motions ({names}); name one with --from")
    motion = chosen.read(path, context)
    if not context.invert:
        return motion
    inverse = motion.inverse(context.moving)
    note = f"{path.name}: inverted; a voxel's centre comes back within {inverse.residual_mm:.3g} mm"
    if inverse.residual_mm > _POOR_INVERSE_MM:
        note += " at worst: the motion folds there, or leads out of its grid"
    return inverse.motion.with_notes(note) if motion.matrix is None else inverse.motion


def write_motion(
    path: str | Path, motion: Motion, *, form: str | None = None, context: MotionContext = _NOTHING_GIVEN
) -> None:
    """Writes a motion.

    Args:
        form: name of the format; None: by the file's ending.
        context: images, for formats that need them.

    Raises:
        InputError: a motion that the format cannot hold, or something that must be given.
        OutputError: an ending that no format has; the file cannot be written.
    """
    path = Path(path)
    chosen = find_motion_format(form) if form else motion_format_to_write(path)
    if chosen is None:
        raise OutputError(f"{path}: expected a name that ends in {', '.join(_written_endings())}")
    if form and chosen.endings and not path.name.lower().endswith(chosen.endings):
        raise OutputError(f"{path}: a file of {chosen.name} must end in {' or '.join(chosen.endings)}")
    if context.invert:  # what was read with this context was turned round, and so are its images
        context = dataclasses.replace(
            context,
            fixed=context.moving,
            moving=context.fixed,
            fixed_path=context.moving_path,
            moving_path=context.fixed_path,
        )
    chosen.write(path, motion, dataclasses.replace(context, invert=None))


def _written_endings() -> list[str]:
    return sorted({ending for one in available_motion_formats() for ending in one.by_default})
