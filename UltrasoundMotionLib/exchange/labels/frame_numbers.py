"""Frame numbers of pictures that a file names: COCO and DeepLabCut label pictures, not frames."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.exchange.labels.labels import ClipReference


def base_name(name: str) -> str:
    """Returns the last part of a path of either kind."""
    return PurePosixPath(PureWindowsPath(name).as_posix()).name


def numbers_in_clip(path: Path, names: Sequence[str], clip: ClipReference) -> list[int]:
    """Returns the place of each picture in a folder of pictures.

    Raises:
        InputError: a picture that the folder does not have.
    """
    place = {name: number for number, name in enumerate(clip.frame_names)}
    missing = next((name for name in names if base_name(name) not in place), None)
    if missing is not None:
        raise InputError(f"{path}: labels the picture {missing}, which {clip.path} does not have among its frames")
    return [place[base_name(name)] for name in names]


def numbers_in_names(path: Path, names: Sequence[str]) -> tuple[list[int], str]:
    """Returns the last number in each picture's name, as DeepLabCut names the frames that it extracts, and a note.

    Raises:
        InputError: a name without a number, or two with the same.
    """
    found: dict[int, str] = {}
    for name in names:
        digits = re.findall(r"\d+", base_name(name).rsplit(".", 1)[0])
        if not digits:
            raise InputError(f"{path}: the picture {name} has no number in its name; give its folder with --image")
        if found.setdefault(int(digits[-1]), name) != name:
            raise InputError(f"{path}: the pictures {found[int(digits[-1])]} and {name} have the same number")
    first = next(iter(found))
    return list(found), f"{path}: frame numbers are those in the pictures' names ({names[0]}: frame {first})"


def numbers_by_order(path: Path, names: Sequence[str]) -> tuple[list[int], str]:
    """Returns each picture's place in the natural order of their names, and a note."""
    order = sorted(names, key=lambda name: [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)])
    place = {name: number for number, name in enumerate(order)}
    note = f"{path}: frames are the pictures in the order of their names; give their folder with --image to be certain"
    return [place[name] for name in names], note
