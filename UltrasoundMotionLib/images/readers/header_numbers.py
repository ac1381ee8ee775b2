"""Numbers from a text header, or a clear refusal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar

from UltrasoundMotionLib.errors import InputError

Number = TypeVar("Number", int, float)


def header_numbers(path: Path, name: str, text: str, kind: type[Number], count: int) -> list[Number]:
    """`count` numbers separated by blanks.

    Raises:
        InputError: something else, naming the header's field.
    """
    try:
        values = [kind(word) for word in text.split()]
        if not all(map(math.isfinite, values)):
            raise ValueError
    except (ValueError, OverflowError):
        raise InputError(f"{path}: {name} is {text[:80]!r}, expected numbers") from None
    if len(values) != count:
        raise InputError(f"{path}: {name} has {len(values)} values, expected {count}")
    return values
