"""The one rule for output files of every verb: never an input, a frame of an input folder, or one another's file."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from UltrasoundMotionLib.atomic_output import check_output_path
from UltrasoundMotionLib.errors import OutputError

_HEADER_BYTES = 2**16
_DATA_FILE = re.compile(rb"^(?:ElementDataFile\s*=|data ?file:)[ \t]*([^\r\n]+)", re.IGNORECASE | re.MULTILINE)


def named_paths(outputs: object, names: Iterable[str]) -> Iterator[tuple[str, Path]]:
    """Yields (name, path) of every file to write: of the attributes of these names that are not None."""
    for name in names:
        path = getattr(outputs, name)
        if path is not None:
            yield name, path


def check_outputs(
    named: Iterable[tuple[str, Path]], endings: Mapping[str, tuple[str, ...]], inputs: Iterable[Path] = ()
) -> None:
    """Checks (name, path) of every file to write.

    Args:
        endings: that each name may have, in lower case.
        inputs: files and folders that are read.

    Raises:
        OutputError: a wrong ending; a path that `check_output_path` refuses; one file for two outputs; an input, its
            pixel file, a file of an input folder that is a frame or would become one.
    """
    inputs = tuple(inputs)
    taken: dict[str, tuple[str, Path]] = {}
    for name, path in named:
        allowed = endings.get(name)
        if allowed and not path.name.lower().endswith(allowed):
            raise OutputError(f"{path}: the {name} file must end in {' or '.join(allowed)}")
        check_output_path(path)
        check_no_input(name, path, inputs)
        for other, other_path in taken.values():
            if _same(path, other_path):
                raise OutputError(f"{path}: the {name} file would overwrite the {other} file")
        taken[name] = (name, path)


def check_no_input(name: str, path: Path, inputs: Iterable[Path]) -> None:
    """Checks that writing to a path changes no input; links and other spellings of the same file are the same file.

    Raises:
        OutputError: it would.
    """
    for given in inputs:
        if any(_same(path, read) for read in (given, *_pixel_files(given))):
            raise OutputError(f"{path}: the {name} file would overwrite an input")
        if given.is_dir() and _is_frame(path) and any(_same(path.parent, folder) for folder in (given, given / "Data")):
            what = "a frame of the input" if path.exists() else "the frames of the input: it would be read as one"
            raise OutputError(f"{path}: the {name} file would overwrite {what}; write it to another folder")
        if given.is_dir() and path.exists():
            for folder in (given, given / "Data", given / "Annotation"):
                if folder.is_dir() and any(_same(path, file) and _is_read(file) for file in folder.iterdir()):
                    raise OutputError(f"{path}: the {name} file would overwrite a file of the input folder {given}")


def weights_files(weights: str | Path | None) -> tuple[Path, ...]:
    """Returns the file that `--weights` gives, and its card, as inputs; nothing for a name."""
    path = Path(weights) if weights else None
    return () if path is None or not path.is_file() else (path, path.with_suffix(".json"))


def _same(one: Path, other: Path) -> bool:
    """Returns True if two paths are one file, by the file system where both exist, else by their spelling."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return _spelling(one) == _spelling(other)


def _spelling(path: Path) -> str:
    return unicodedata.normalize("NFC", os.path.realpath(path)).casefold()


def _is_frame(path: Path) -> bool:
    from UltrasoundMotionLib.images.readers.image_folder import PICTURE_ENDINGS

    return path.suffix.lower() in PICTURE_ENDINGS


def _is_read(file: Path) -> bool:
    """Returns True for files that the readers of folders take: pictures, DICOM whatever its name, annotations."""
    from UltrasoundMotionLib.images.readers.dicom.pixel_layout import is_dicom

    if not file.is_file():
        return False
    return _is_frame(file) or file.suffix.lower() == ".txt" or is_dicom(file)


def _pixel_files(path: Path) -> list[Path]:
    """Returns the file that a header (.mhd, .nhdr) names for its pixels, if any."""
    if path.suffix.lower() not in (".mhd", ".nhdr", ".mha", ".nrrd") or not path.is_file():
        return []
    try:
        with path.open("rb") as file:
            match = _DATA_FILE.search(file.read(_HEADER_BYTES))
    except OSError:
        return []
    name = match[1].decode("utf-8", "surrogateescape").strip() if match else ""
    return [path.parent / name] if name and name.upper() != "LOCAL" else []
