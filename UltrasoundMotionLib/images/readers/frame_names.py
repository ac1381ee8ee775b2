"""Choice of the frames among the pictures of a folder: their order, gaps in their numbers, and what is no frame."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np

from UltrasoundMotionLib.errors import InputError
from UltrasoundMotionLib.images.readers.pictures import PICTURE_ENDINGS

_LISTED = 4


def picture_files(folder: Path) -> list[Path]:
    """Lists the image files of a folder in natural order, without hidden files."""
    files = [
        file
        for file in folder.iterdir()
        if file.suffix.lower() in PICTURE_ENDINGS and not file.name.startswith(".") and file.is_file()
    ]
    return sorted(files, key=_natural_order)


def chosen_frames(folder: Path, files: list[Path]) -> tuple[list[Path], list[str]]:
    """Returns the files that are frames, and notes on those that are not and on gaps in the numbers.

    Frames have the most usual ending. If names with numbers are of one pattern, files without a number are no frames.

    Raises:
        InputError: names with numbers of several patterns, which are several clips, or frames and their masks.
    """
    notes = []
    endings = Counter(file.suffix.lower() for file in files)
    if len(endings) > 1:
        ending = endings.most_common(1)[0][0]
        others = len(files) - endings[ending]
        notes.append(
            f"only the {endings[ending]} {ending} files are frames; {others} pictures of other types were left out"
        )
        files = [file for file in files if file.suffix.lower() == ending]
    patterns = {file: re.sub(r"\d+", "#", file.stem.lower()) for file in files}
    numbered = [file for file in files if "#" in patterns[file]]
    kinds = Counter(patterns[file] for file in numbered)
    if len(kinds) > 1:
        named = ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common(_LISTED))
        more = " ..." if len(kinds) > _LISTED else ""
        raise InputError(
            f"{folder}: its pictures have names of {len(kinds)} patterns ({named}{more}), so which of them are the "
            "frames is not known; put the frames into a folder of their own"
        )
    if len(numbered) > 1 and len(numbered) < len(files):
        left_out = [file.name for file in files if file not in set(numbered)]
        notes.append(f"{_listed(left_out)} left out: the frames have numbers in their names")
        files = numbered
    return files, notes + _gap_notes(files)


def _gap_notes(files: list[Path]) -> list[str]:
    """Returns a note if a number is missing among the names of frames that count in equal steps otherwise."""
    numbers = [[int(number) for number in re.findall(r"\d+", file.stem)] for file in files]
    if len(files) < 3 or not numbers[0]:
        return []
    table = np.array(numbers, dtype=object)
    changing = [column for column in range(table.shape[1]) if len(set(table[:, column])) > 1]
    if len(changing) != 1:
        return []
    counts = table[:, changing[0]].tolist()
    steps = [after - before for before, after in pairwise(counts)]
    usual = min(steps)
    gaps = [place for place, step in enumerate(steps) if step > usual]
    # times of acquisition as names have steps of many sizes: no gap can be told there
    if not gaps or usual < 1 or len(gaps) > len(steps) // 2 or any(steps[place] % usual for place in gaps):
        return []
    missing = sum(steps[place] // usual - 1 for place in gaps)
    between = [f"between {files[place].name} and {files[place + 1].name}" for place in gaps]
    return [
        f"{missing} frame{'s are' if missing > 1 else ' is'} missing: {_listed(between)}; the frames before and after "
        "count as neighbours, so times and speeds are wrong there"
    ]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    """Returns a sort key that compares numbers within names by value."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part), part) if part.isdigit() else (1, 0, part) for part in parts]
