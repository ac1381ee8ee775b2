"""Arguments from Python callers brought into shape; what does not fit is an `InputError` that names the argument."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from UltrasoundMotionLib.errors import InputError

T = TypeVar("T")


def as_path(value: Any, name: str = "path") -> Path:
    """Returns a path.

    Raises:
        InputError: neither text nor a path, or empty.
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise InputError(f"{name}: expected a path, got {_described(value)}")
    if not os.fspath(value):
        raise InputError(f"{name}: expected a path, got an empty text")
    return Path(value)


def as_array(value: Any, name: str) -> np.ndarray:
    """Returns an array of whatever type its values have.

    Raises:
        InputError: rows of different lengths.
    """
    try:
        return np.asarray(value)
    except ValueError:
        raise InputError(f"{name}: expected an array, got {_described(value)}") from None


def as_numbers(value: Any, name: str) -> np.ndarray:
    """Returns an array of real numbers as float64, of any shape.

    Raises:
        InputError: not numbers, or rows of different lengths.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind in "biuf":
            return array.astype(np.float64)
    except ValueError:
        pass
    raise InputError(f"{name}: expected numbers, got {_described(value)}")


def as_tuple(value: Any, name: str, count: int | None = None) -> tuple[float, ...]:
    """Returns numbers in one row.

    Args:
        count: how many there must be.

    Raises:
        InputError: something else.
    """
    array = as_numbers(value, name)
    if array.ndim != 1 or count not in (None, len(array)):
        wanted = "numbers in one row" if count is None else f"{count} numbers"
        raise InputError(f"{name}: expected {wanted}, got {_described(value)}")
    return tuple(array.tolist())


def as_number(value: Any, name: str) -> float:
    """Returns a number.

    Raises:
        InputError: something else.
    """
    array = as_numbers(value, name)
    if array.ndim:
        raise InputError(f"{name}: expected a number, got {_described(value)}")
    return float(array)


def as_whole(value: Any, name: str) -> int:
    """Returns a whole number.

    Raises:
        InputError: something else.
    """
    number = as_number(value, name)
    if not number.is_integer():
        raise InputError(f"{name}: expected a whole number, got {_described(value)}")
    return int(number)


def as_texts(value: Any, name: str) -> tuple[str, ...]:
    """Returns several texts; numbers are written as text.

    Raises:
        InputError: a single text, or what is not a row.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Iterable) or getattr(value, "ndim", 1) != 1:
        raise InputError(f"{name}: expected several texts, got {_described(value)}")
    return tuple(str(one) for one in value)


def of_kind(value: Any, kind: type[T] | tuple[type[T], ...], name: str) -> T:
    """Returns the value, which must be an instance of a class.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, kind):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise InputError(f"{name}: expected {' or '.join(one.__name__ for one in kinds)}, got {_described(value)}")
    return value


def _described(value: Any) -> str:
    """Returns a value in few words: its text where that is short, else its type, with the shape of an array."""
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} and shape {value.shape}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else type(value).__name__
