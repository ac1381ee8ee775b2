"""The messages between the application and its child process: one JSON object per line, errors as named kinds."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from UltrasoundMotionLib.errors import InputError, MissingPackageError, OutputError, ProcessError, UltrasoundMotionError

_LONGEST_LINE = 1 << 24
_SHOWN_CHARACTERS = 60
_ERRORS: dict[str, type[UltrasoundMotionError]] = {
    "input": InputError,
    "output": OutputError,
    "package": MissingPackageError,
}


def encode(message: Mapping[str, Any]) -> bytes:
    """Encodes a message as one line; numpy scalars, arrays, paths, NaN and infinity may be among the values."""
    return json.dumps(message, separators=(",", ":"), default=_to_json).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """Decodes the message of a line.

    Raises:
        InputError: the line is no JSON object.
    """
    try:
        message = json.loads(line.decode("utf-8", errors="replace"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"the line {_shown(line)} is no message: {error}") from None
    if not isinstance(message, dict):
        raise InputError(f"the line {_shown(line)} is no message: a JSON object was expected")
    return message


def read_lines(stream: IO[bytes]) -> Iterator[bytes]:
    """Yields the lines that are not empty until the other side closes the pipe.

    A line longer than 16 MiB is cut there, so that garbage cannot fill the memory.
    """
    while line := stream.readline(_LONGEST_LINE):
        rest = line
        while not rest.endswith(b"\n") and len(rest) == _LONGEST_LINE:
            rest = stream.readline(_LONGEST_LINE)
        if line.strip():
            yield line


def error_kind(error: BaseException) -> str:
    """Returns the name of an error in messages and in `JobFailed.kind`; "unexpected" for other libraries' errors."""
    return next((kind for kind, error_type in _ERRORS.items() if isinstance(error, error_type)), "unexpected")


def error_from_kind(kind: str, message: str) -> UltrasoundMotionError:
    """Makes the error of a kind; a ProcessError for every kind but input, output and package."""
    return _ERRORS.get(kind, ProcessError)(message)


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", errors="replace").strip()
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "...")


def _to_json(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be sent to the job's process")
