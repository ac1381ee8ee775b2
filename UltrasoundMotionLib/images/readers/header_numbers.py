"""Numbers in text headers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar

from UltrasoundMotionLib.errors import InputError

_Number = TypeVar("_Number", int, float)


def header_numbers(path: Path, name: str, text: str, kind: type[_Number], count: int) -> list[_Number]:
    """Parses `count` numbers separated by blanks.

    Raises:
        InputError: other text or another count, naming the header's field.
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
