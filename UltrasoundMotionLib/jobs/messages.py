"""What goes through the pipes between the application and its child process: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from UltrasoundMotionLib.errors import InputError

LONGEST_LINE = 1 << 24
SHOWN = 60


def encode(message: Mapping[str, Any]) -> bytes:
    """One line; numpy's scalars and arrays and paths may be among the values, NaN and infinity too."""
    return json.dumps(message, separators=(",", ":"), default=_plain).encode("ascii") + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message of a line.

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


def read_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines that are not empty, until the other side closes the pipe; one that is too long is cut, so that garbage
    cannot fill the memory.
    """
    while line := stream.readline(LONGEST_LINE):
        rest = line
        while not rest.endswith(b"\n") and len(rest) == LONGEST_LINE:
            rest = stream.readline(LONGEST_LINE)
        if line.strip():
            yield line


def _shown(line: bytes) -> str:
    text = line.decode("utf-8", errors="replace").strip()
    return repr(text if len(text) <= SHOWN else text[:SHOWN] + "...")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} cannot be sent to the job's process")
